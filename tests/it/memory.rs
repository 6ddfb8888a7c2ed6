//! What claims cost in memory, of a gateway in a process of its own.

use std::fs;

use serde_json::json;

use crate::support::{
    API_KEY, Api, Backend, Process, TestApp, eventually, process, socket::Socket,
};

const MIB: usize = 1 << 20;

/// What an answer with two megabytes of claims, selected six times, may add.
const ALLOWED: usize = 32 * MIB;

const SIX_TIMES: &str =
    "{ me { connection { a: claims b: claims c: claims d: claims e: claims f: claims } } }";

/// Many small values, of which a tree takes many times the room.
fn claims(bytes: usize) -> String {
    let claim = r#"{"id":1,"a":[1.10]},"#;
    let mut claims = String::from("[");
    while claims.len() + claim.len() < bytes {
        claims += claim;
    }
    claims + "0]"
}

struct Stage {
    app: TestApp,
    gateway: Process,
    user: Api,
    url: String,
}

impl Stage {
    /// A gateway that has answered claims before, and a user who is connected there.
    async fn set() -> Self {
        let app = TestApp::start(Backend::Postgres).await;
        let database_url = secrecy::ExposeSecret::expose_secret(&app.config.database_url);
        let base_url = app.config.intuned.base_url.as_str();
        let gateway = Process::spawn(&process::settings(database_url, base_url, API_KEY));
        let url = gateway.ready().await;
        let user = app.user("a@example.com").await.at(&url);
        let operation = user.connect("Admin", "admin123").await;
        let id = operation["id"].as_str().unwrap();
        eventually("connected", async || {
            user.operation(id).await["status"] == "DONE"
        })
        .await;
        let stage = Self {
            app,
            gateway,
            user,
            url,
        };
        stage.user.data(SIX_TIMES, json!({})).await;
        stage
    }

    /// Bytes that the gateway has in memory, in this line of what the kernel says of it.
    fn memory(&self, line: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.gateway.id())).unwrap();
        let line = status.lines().find_map(|all| all.strip_prefix(line));
        let kibibytes = line.unwrap().trim().trim_end_matches(" kB");
        kibibytes.parse::<usize>().unwrap() * 1024
    }

    /// By how much the gateway's memory grew, at the most, meanwhile.
    async fn growth(&self, work: impl Future<Output = ()>) -> usize {
        // Forgets the peak so far.
        fs::write(format!("/proc/{}/clear_refs", self.gateway.id()), "5").unwrap();
        let before = self.memory("VmRSS:");
        work.await;
        self.memory("VmHWM:") - before
    }

    async fn end(mut self) {
        self.gateway.stop().await;
        self.app.finish().await;
    }
}

#[tokio::test]
async fn claims_that_are_selected_often_take_little_more_than_their_answer() {
    let stage = Stage::set().await;
    let claims = claims(2_000_000);
    stage.app.intuned.bring(claims.as_str()).unwrap();
    let length = 6 * claims.len();

    let by_post = async {
        let answer = stage.user.data_text(SIX_TIMES, json!({})).await;
        assert!((length..length + 200).contains(&answer.len()));
    };
    let grown = stage.growth(by_post).await;
    assert!(grown < ALLOWED, "{} MiB", grown / MIB);

    let by_socket = async {
        let mut socket = Socket::open(&stage.url, stage.user.token.as_deref()).await;
        let subscribe =
            json!({ "type": "subscribe", "id": "1", "payload": { "query": SIX_TIMES } });
        assert!(socket.try_send(&subscribe).await);
        let answer = socket.next_text().await.unwrap();
        assert!((length..length + 200).contains(&answer.len()));
    };
    let grown = stage.growth(by_socket).await;
    assert!(grown < ALLOWED, "{} MiB", grown / MIB);
    Box::pin(stage.end()).await;
}

#[tokio::test]
async fn claims_that_are_too_large_are_not_taken_in() {
    let stage = Stage::set().await;
    stage.app.intuned.bring(claims(16_500_000)).unwrap();
    let grown = stage
        .growth(async {
            let code = stage.user.error_code(SIX_TIMES, json!({})).await;
            assert_eq!(code, "RESULT_TOO_LARGE");
        })
        .await;
    assert!(grown < 8 * MIB, "{} MiB", grown / MIB);
    Box::pin(stage.end()).await;
}
