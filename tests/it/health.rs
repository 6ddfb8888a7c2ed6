//! What a gateway says of its own health, and how it stops.

use std::{collections::BTreeSet, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
use intuned_simulator::{Call, Fault};
use rand::{SeedableRng, rngs::StdRng};
use reqwest::StatusCode;
use rstest::rstest;
use rustix::process::Signal;
use sea_orm::{ConnectionTrait, Database, EntityTrait, TransactionTrait};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream, time::timeout};

use crate::support::{
    API_KEY, Backend, Process, Proxy, Setup, TestApp, eventually, process,
    socket::{DEADLINE, Socket},
};

/// From SIGTERM to the process's end.
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// What a gateway whose GraphQL address this is says of itself.
async fn health(url: &str, which: &str) -> (StatusCode, Value) {
    let url = url.replace("/graphql", &format!("/health/{which}"));
    let answer = reqwest::get(url).await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

async fn until_ready(url: &str) {
    eventually("ready", async || {
        health(url, "ready").await == (StatusCode::OK, json!({ "status": "ok" }))
    })
    .await;
}

/// Waits until exactly these parts are told of, each with a sentence.
async fn until_told(url: &str, parts: &[&str]) {
    eventually("told", async || {
        let (status, answer) = health(url, "ready").await;
        let Some(problems) = answer["problems"].as_object() else {
            return false;
        };
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert!(problems.values().all(|problem| {
            let problem = problem.as_str().unwrap();
            problem.ends_with('.') && !problem.contains("postgres")
        }));
        let told: BTreeSet<&str> = problems.keys().map(String::as_str).collect();
        told == parts.iter().copied().collect()
    })
    .await;
}

#[rstest]
#[tokio::test]
async fn a_gateway_becomes_ready_and_tells_of_tables_that_are_too_old(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut app = TestApp::start(backend).await;
    until_ready(&app.api.url).await;
    let database = Database::connect(app.config.database_url.expose_secret())
        .await
        .unwrap();
    // Newer ones are no problem: another replica may have been upgraded already.
    database
        .execute_unprepared("INSERT INTO seaql_migrations VALUES ('m99991231_000000_later', 0)")
        .await
        .unwrap();
    until_ready(&app.api.url).await;
    app.restart().await;
    until_ready(&app.api.url).await;
    database
        .execute_unprepared("DELETE FROM seaql_migrations")
        .await
        .unwrap();
    until_told(&app.api.url, &["migrations"]).await;
    let alive = health(&app.api.url, "live").await;
    assert_eq!(alive, (StatusCode::OK, json!({ "status": "ok" })));
    app.finish().await;
}

#[tokio::test]
async fn a_gateway_tells_that_its_database_is_away_and_recovers() {
    let mut app = TestApp::start(Backend::Postgres).await;
    app.stop().await;
    let mut url: url::Url = app.config.database_url.expose_secret().parse().unwrap();
    let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
    let proxy = Proxy::start(target, StdRng::seed_from_u64(1)).await;
    url.set_port(Some(proxy.address.port())).unwrap();
    let mut settings =
        process::settings(url.as_str(), app.config.intuned.base_url.as_str(), API_KEY);
    settings.push(("LEASE", "2s".to_owned()));
    let mut gateway = Process::spawn(&settings);
    let address = gateway.ready().await;
    until_ready(&address).await;
    proxy.set_away(true);
    // Again and again: a connection that is just being made is not cut yet.
    let cut = async {
        loop {
            proxy.reset(100);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::select! {
        () = until_told(&address, &["database", "listener", "replica"]) => {}
        () = cut => {}
    }
    assert_eq!(health(&address, "live").await.0, StatusCode::OK);
    proxy.set_away(false);
    until_ready(&address).await;
    gateway.stop().await;
    app.finish().await;
}

#[tokio::test]
async fn sigterm_ends_a_busy_gateway_in_time_and_hands_over_what_it_was_doing() {
    let mut app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    let other = app.user("b@example.com").await;
    let first = user.connect("Admin", "admin123").await;
    let mut socket = app.socket(&user).await;
    socket
        .follow("1", first["id"].as_str().unwrap(), Some(0))
        .await;
    assert_eq!(socket.events().await.last().unwrap()["status"], "DONE");
    app.stop().await;

    let database_url = app.config.database_url.expose_secret();
    let base_url = app.config.intuned.base_url.as_str();
    let mut gateway = Process::spawn(&process::settings(database_url, base_url, API_KEY));
    let url = gateway.ready().await;
    let (user, other) = (user.at(&url), other.at(&url));

    // An operation that waits for its user, and somebody who follows it.
    let waiting = other.connect("passcode", "admin123").await;
    let mut socket = Socket::open(&url, other.token.as_deref()).await;
    socket
        .follow("1", waiting["id"].as_str().unwrap(), None)
        .await;
    socket.until("REQUESTED_MORE_INFO").await;
    // A request that takes longer than there is time, and one that is never sent to its end.
    app.intuned.script(Call::RunStart, 1, &Fault::hang());
    let slow = tokio::spawn(async move {
        let claims = "{ me { connection { claims } } }";
        user.try_send(claims, json!({})).await
    });
    eventually("the slow request is under way", async || {
        app.intuned.calls(Call::RunStart) == 1
    })
    .await;
    let authority = url
        .strip_prefix("http://")
        .unwrap()
        .strip_suffix("/graphql")
        .unwrap();
    let mut half = TcpStream::connect(authority).await.unwrap();
    half.write_all(b"POST /graphql HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")
        .await
        .unwrap();

    gateway.signal(Signal::TERM);
    let stopped = async {
        let code = loop {
            if let Err(code) = socket.next().await {
                break code;
            }
        };
        assert!(matches!(code, Some(1001 | 1012)), "{code:?}");
        gateway.ended().await
    };
    let status = timeout(STOPPED_WITHIN, stopped)
        .await
        .expect("gone in time");
    assert!(status.success(), "{status}:\n{}", gateway.log());
    timeout(DEADLINE, slow).await.unwrap().unwrap().ok();

    let database = Database::connect(database_url).await.unwrap();
    let operations = entity::operation::Entity::find()
        .all(&database)
        .await
        .unwrap();
    let left: Vec<_> = operations
        .into_iter()
        .filter(|operation| operation.ended_at.is_none())
        .collect();
    assert_eq!(left.len(), 1);
    assert_eq!(left[0].owner, None, "it was handed over");
    let replicas = entity::replica::Entity::find()
        .all(&database)
        .await
        .unwrap();
    assert!(replicas.is_empty(), "nobody waits for its lease to run out");
    app.finish().await;
}

#[tokio::test]
async fn a_gateway_may_open_as_many_files_as_the_machine_lets_it_and_dumps_no_core() {
    let app = TestApp::start(Backend::Sqlite).await;
    let directory = tempfile::TempDir::new().unwrap();
    let database = format!("sqlite:{}/gateway.sqlite", directory.path().display());
    let settings = process::settings(&database, app.config.intuned.base_url.as_str(), API_KEY);
    let mut process = Process::spawn_with_files(&settings, 100);
    process.ready().await;
    let [soft, hard] = limit(&process, "Max open files");
    assert_eq!(soft, hard);
    // A core would hold every secret that is in memory.
    assert_eq!(limit(&process, "Max core file size"), ["0", "0"]);
    process.stop().await;
    app.finish().await;
}

/// What the process may have of something, and how far it may raise that.
fn limit(process: &Process, name: &str) -> [String; 2] {
    let limits = std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let line = limits.lines().find_map(|line| line.strip_prefix(name));
    let mut values = line.unwrap().split_whitespace().map(str::to_owned);
    [values.next().unwrap(), values.next().unwrap()]
}

/// Who waits for a connection to the database is turned away in time, and nothing has been done for them.
#[tokio::test]
async fn work_is_shed_that_the_database_has_no_room_for() {
    let setup = Setup {
        configure: |config| config.database_connections = 2,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Postgres, setup).await;
    let mut users = Vec::new();
    for number in 0..6 {
        users.push(app.user(&format!("{number}@example.com")).await);
    }
    let database = Database::connect(app.config.database_url.expose_secret());
    let lock = database.await.unwrap().begin().await.unwrap();
    lock.execute_unprepared("LOCK TABLE operations IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    let connecting = users
        .iter()
        .map(async |user| (user, user.connect_answer("slow", "admin123").await));
    let mut connecting: FuturesUnordered<_> = connecting.collect();
    let (user, shed) = timeout(DEADLINE, connecting.next()).await.unwrap().unwrap();
    let code = &shed["errors"][0]["extensions"]["code"];
    assert!(
        code == "RATE_LIMITED" || code == "SERVICE_UNAVAILABLE",
        "{shed}"
    );
    lock.rollback().await.unwrap();
    while connecting.next().await.is_some() {}

    let active = "{ me { activeOperation { id } } }";
    let me = user.data(active, json!({})).await["me"].take();
    assert_eq!(me["activeOperation"], Value::Null);
    user.connect("slow", "admin123").await;
    for user in &users {
        let me = user.data(active, json!({})).await["me"].take();
        if let Some(id) = me["activeOperation"]["id"].as_str() {
            user.cancel(id).await;
        }
    }
    app.finish().await;
}
