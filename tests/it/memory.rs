//! What claims cost in memory, of a gateway in a process of its own.

use std::fs;

use futures_util::future::join_all;
use rstest::rstest;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::support::{
    API_KEY, Api, Backend, Process, TestApp, eventually, process,
    socket::{DEADLINE, Socket},
};

const MIB: usize = 1 << 20;

/// What an answer with two megabytes of claims, selected six times, may add.
const ALLOWED: usize = 16 * MIB;

/// What answers that nobody reads may add to the claims that they show.
const ALLOWED_UNREAD: usize = 32 * MIB;

const SIX_TIMES: &str =
    "{ me { connection { a: claims b: claims c: claims d: claims e: claims f: claims } } }";

/// Many small values, of which a tree takes many times the room, on lines of their own.
fn claims(bytes: usize) -> String {
    let claim = "{\"id\":1,\"a\":[1.10],\"b\":\"é\"},\n";
    let mut claims = String::from("[");
    while claims.len() + claim.len() < bytes {
        claims += claim;
    }
    claims + "0]"
}

/// The claims under as many names as a document may have.
fn many_times() -> String {
    let names = (1..15).map(|number| format!(" c{number}: claims"));
    format!("connection {{{} }}", names.collect::<String>())
}

struct Stage {
    app: TestApp,
    gateway: Process,
    user: Api,
    url: String,
    /// The operation that connected the user.
    operation: String,
}

impl Stage {
    /// A gateway that has answered claims before, and a user who is connected there.
    async fn set() -> Self {
        Self::with(&[]).await
    }

    /// The same, with these settings besides.
    async fn with(besides: &[(&'static str, &str)]) -> Self {
        let app = TestApp::start(Backend::Postgres).await;
        let database_url = secrecy::ExposeSecret::expose_secret(&app.config.database_url);
        let base_url = app.config.intuned.base_url.as_str();
        let mut settings = process::settings(database_url, base_url, API_KEY);
        settings.extend(
            besides
                .iter()
                .map(|(name, value)| (*name, (*value).to_owned())),
        );
        let gateway = Process::spawn(&settings);
        let url = gateway.ready().await;
        let user = app.user("a@example.com").await.at(&url);
        let operation = connect(&user).await;
        let stage = Self {
            app,
            gateway,
            user,
            url,
            operation,
        };
        stage.user.data(SIX_TIMES, json!({})).await;
        stage
    }

    /// A user besides, who is connected as well.
    async fn another_user(&self, number: usize) -> Api {
        let email = format!("user-{number}@example.com");
        let user = self.app.user(&email).await.at(&self.url);
        connect(&user).await;
        user
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

    /// The number of the gateway's connections and files.
    fn descriptors(&self) -> usize {
        let open = fs::read_dir(format!("/proc/{}/fd", self.gateway.id()));
        open.unwrap().count()
    }

    async fn end(mut self) {
        self.gateway.stop().await;
        self.app.finish().await;
    }
}

/// Connects the user; the operation's id.
async fn connect(user: &Api) -> String {
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap().to_owned();
    eventually("connected", async || {
        user.operation(&id).await["status"] == "DONE"
    })
    .await;
    id
}

/// A client that has sent its request, and reads no more of the answer than its first byte.
enum Unread {
    Http(TcpStream),
    Socket(Box<Socket>),
}

impl Unread {
    async fn http(user: &Api, accept: &str, payload: &Value) -> Self {
        let url: url::Url = user.url.parse().unwrap();
        let address = (url.host_str().unwrap(), url.port().unwrap());
        let mut stream = TcpStream::connect(address).await.unwrap();
        let (body, token) = (payload.to_string(), user.token.as_deref().unwrap());
        let request = format!(
            "POST /graphql HTTP/1.1\r\nhost: gateway.test\r\naccept: {accept}\r\n\
             authorization: Bearer {token}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        Self::Http(stream)
    }

    async fn socket(user: &Api, payload: &Value) -> Self {
        let mut socket = Socket::open(&user.url, user.token.as_deref()).await;
        let subscribe = json!({ "type": "subscribe", "id": "1", "payload": payload });
        assert!(socket.try_send(&subscribe).await);
        Self::Socket(Box::new(socket))
    }

    /// Waits for so many bytes of the answer: it has been made then.
    async fn begins(&mut self, bytes: usize) {
        let begun = async {
            match self {
                Self::Http(stream) => stream.read_exact(&mut vec![0; bytes]).await.is_ok(),
                Self::Socket(socket) => socket.is_sent_something().await,
            }
        };
        assert!(timeout(DEADLINE, begun).await.unwrap());
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

/// Apollo's protocol.
const PARTS: &str = "multipart/mixed;subscriptionSpec=1.0";

/// How claims are asked for.
#[derive(Clone, Copy, Debug)]
enum By {
    Post,
    EventStream,
    EventStreamOfEvents,
    Multipart,
    Socket,
    SocketOfEvents,
}

impl By {
    async fn ask(self, user: &Api, operation: &str) -> Unread {
        let selected = many_times();
        let query = json!({ "query": format!("{{ me {{ {selected} }} }}") });
        let events = json!({
            "query": format!(
                "subscription($id: ID!) {{ operationStatus(operationId: $id) {{ operation {{ {selected} }} }} }}"
            ),
            "variables": { "id": operation },
        });
        match self {
            Self::Post => Unread::http(user, "application/json", &query).await,
            Self::EventStream => Unread::http(user, "text/event-stream", &query).await,
            Self::EventStreamOfEvents => Unread::http(user, "text/event-stream", &events).await,
            Self::Multipart => Unread::http(user, PARTS, &events).await,
            Self::Socket => Unread::socket(user, &query).await,
            Self::SocketOfEvents => Unread::socket(user, &events).await,
        }
    }
}

/// More than the head of an answer, and what is sent before there is anything to tell.
const BEGINNING: usize = 4 * 1024;

#[rstest]
#[tokio::test]
async fn answers_that_nobody_reads_share_their_claims(
    #[values(
        By::Post,
        By::EventStream,
        By::EventStreamOfEvents,
        By::Multipart,
        By::Socket,
        By::SocketOfEvents
    )]
    by: By,
) {
    let stage = Stage::with(&[("CLAIMS_CACHE", "10m")]).await;
    // What was kept of the claims before is of the same connection.
    connect(&stage.user).await;
    let claims = claims(2_000_000);
    stage.app.intuned.bring(claims.as_str()).unwrap();
    let grown = stage
        .growth(async {
            let asking = (0..40).map(async |_| {
                let mut unread = by.ask(&stage.user, &stage.operation).await;
                unread.begins(BEGINNING).await;
                unread
            });
            join_all(asking).await;
        })
        .await;
    let allowed = claims.len() + ALLOWED_UNREAD;
    assert!(grown < allowed, "{} MiB", grown / MIB);
    Box::pin(stage.end()).await;
}

#[rstest]
#[tokio::test]
async fn answers_of_many_users_that_nobody_reads_take_what_their_claims_do(
    #[values(By::Post, By::Socket)] by: By,
) {
    const USERS: usize = 20;
    let stage = Stage::set().await;
    let claims = claims(2_000_000);
    stage.app.intuned.bring(claims.as_str()).unwrap();
    let mut users = Vec::new();
    for number in 0..USERS {
        users.push(stage.another_user(number).await);
    }
    let grown = stage
        .growth(async {
            let mut unread = Vec::new();
            for user in &users {
                let mut client = by.ask(user, "").await;
                client.begins(BEGINNING).await;
                unread.push(client);
            }
        })
        .await;
    let allowed = USERS * claims.len() + ALLOWED_UNREAD;
    assert!(grown < allowed, "{} MiB", grown / MIB);
    Box::pin(stage.end()).await;
}

#[rstest]
#[tokio::test]
async fn who_does_not_read_claims_is_cut_off(
    #[values(By::Post, By::EventStream, By::Socket)] by: By,
) {
    let stage = Stage::with(&[("WRITE_TIMEOUT", "500ms")]).await;
    stage.app.intuned.bring(claims(2_000_000)).unwrap();
    let before = stage.descriptors();
    let mut unread = Vec::new();
    for _ in 0..20 {
        let mut client = by.ask(&stage.user, &stage.operation).await;
        client.begins(BEGINNING).await;
        unread.push(client);
    }
    eventually("cut off", async || stage.descriptors() < before + 10).await;
    drop(unread);
    Box::pin(stage.end()).await;
}
