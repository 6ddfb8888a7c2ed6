//! A database whose server becomes a standby, is locked by somebody else, or is set up in a way of its own.

use std::time::Duration;

use futures_util::future::join_all;
use intuned_gateway::platform::database;
use rstest::rstest;
use sea_orm::{
    ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::processes::alone_behind_proxy;
use crate::support::{Api, Backend, Setup, TestApp, TestDatabase, eventually};

/// Nobody who asks waits for longer.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// After the address leads to a server that takes writes.
const WRITES_WITHIN: Duration = Duration::from_secs(10);

const ME: &str = "{ me { id } }";
const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";

/// As the server's owner, on another database.
struct Owner {
    server: DatabaseConnection,
    database: String,
}

impl Owner {
    async fn of(url: &secrecy::SecretString) -> Self {
        let mut url: url::Url = url.expose_secret().parse().unwrap();
        let database = url.path().trim_start_matches('/').to_owned();
        url.set_path("postgres");
        Self {
            server: Database::connect(url.as_str()).await.unwrap(),
            database,
        }
    }

    /// For connections that are opened from now on.
    async fn set(&self, setting: &str) {
        self.alter(&format!("SET {setting}")).await;
    }

    async fn reset(&self, setting: &str) {
        self.alter(&format!("RESET {setting}")).await;
    }

    async fn alter(&self, how: &str) {
        let sql = format!("ALTER DATABASE {} {how}", self.database);
        self.server.execute_unprepared(&sql).await.unwrap();
    }

    /// As a restart does.
    async fn end_connections(&self) {
        let sql = format!(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = '{}'",
            self.database
        );
        self.server.execute_unprepared(&sql).await.unwrap();
    }
}

fn code(answer: &Value) -> &str {
    answer["errors"][0]["extensions"]["code"]
        .as_str()
        .unwrap_or("none")
}

async fn sign_up(api: &Api, email: &str) -> Value {
    let answer = sign_up_slowly(api, email);
    timeout(TOLD_WITHIN, answer).await.expect("told in time")
}

async fn sign_up_slowly(api: &Api, email: &str) -> Value {
    let sign_up = "mutation ($email: String!) { \
        signUp(input: { email: $email, password: \"correct horse battery\" }) { token } }";
    api.send(sign_up, json!({ "email": email })).await
}

async fn readiness(app: &TestApp) -> Value {
    let url = app.api.url.replace("/graphql", "/health/ready");
    reqwest::get(url).await.unwrap().json().await.unwrap()
}

/// The old primary comes back as a standby, to which all connections are opened before the address leads to
/// the new one. They are not cut by that.
#[tokio::test]
async fn writes_go_on_when_the_address_leads_to_a_new_primary() {
    let app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    let owner = Owner::of(&app.database.url).await;
    owner.set("default_transaction_read_only = on").await;
    owner.end_connections().await;
    eventually("told that nothing is stored", async || {
        let answer = sign_up(&app.api, "b@example.com").await;
        assert_eq!(code(&answer), "SERVICE_UNAVAILABLE", "{answer}");
        let message = answer["errors"][0]["message"].as_str().unwrap();
        message.contains("cannot store")
    })
    .await;
    eventually("told to those who watch", async || {
        let told = readiness(&app).await;
        told["problems"]["database"]
            .as_str()
            .is_some_and(|problem| problem.contains("no writes"))
    })
    .await;
    // What is there can be read.
    assert!(user.data(ME, json!({})).await["me"]["id"].is_string());

    owner.reset("default_transaction_read_only").await;
    let written = async {
        let mut number = 0;
        while code(&sign_up(&app.api, &format!("c{number}@example.com")).await) != "none" {
            number += 1;
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(WRITES_WITHIN, written).await.expect("written");
    eventually("connected", async || {
        let operation = user.connect_answer("Admin", "admin123").await;
        code(&operation) == "none"
    })
    .await;
    eventually("ready", async || readiness(&app).await["status"] == "ok").await;
    app.finish().await;
}

/// The old primary's machine is gone without a word; new connections reach another.
#[tokio::test]
async fn a_server_that_does_not_answer_any_more_is_left_for_another() {
    let (app, user, mut gateway, proxy) = alone_behind_proxy("5s").await;
    proxy.silence();
    let served = async {
        let mut number = 0;
        let all_work = async |number: usize| {
            let many = (0..5).map(async |one| {
                let email = format!("{number}-{one}@example.com");
                let signed_up = code(&sign_up_slowly(&user, &email).await) == "none";
                signed_up && user.send(ME, json!({})).await["data"]["me"]["id"].is_string()
            });
            join_all(many).await.into_iter().all(|works| works)
        };
        while !all_work(number).await {
            number += 1;
        }
    };
    let served = timeout(Duration::from_secs(20), served).await;
    assert!(served.is_ok(), "{}", gateway.log());
    gateway.stop().await;
    app.finish().await;
}

#[tokio::test]
async fn an_operation_goes_on_when_its_connections_became_read_only() {
    let app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    let asked = app.asked(&user, "passcode").await;
    let owner = Owner::of(&app.database.url).await;
    owner.set("default_transaction_read_only = on").await;
    owner.end_connections().await;
    eventually("read-only", async || {
        code(&user.resume(&asked.id, &asked.request, "123456").await) == "SERVICE_UNAVAILABLE"
    })
    .await;
    owner.reset("default_transaction_read_only").await;
    eventually("answered", async || {
        code(&user.resume(&asked.id, &asked.request, "123456").await) == "none"
    })
    .await;
    let mut socket = asked.socket;
    assert_eq!(socket.events().await.last().unwrap()["status"], "DONE");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_statement_that_is_canceled_is_no_defect(
    #[values("statement_timeout = '300ms'", "lock_timeout = '300ms'")] setting: &str,
) {
    let app = TestApp::start(Backend::Postgres).await;
    let owner = Owner::of(&app.database.url).await;
    owner.set(setting).await;
    owner.end_connections().await;
    eventually("connected anew", async || {
        readiness(&app).await["status"] == "ok"
    })
    .await;
    let lock = lock_table(&app, "users").await;
    let begun = Instant::now();
    let answer = sign_up(&app.api, "a@example.com").await;
    assert_eq!(code(&answer), "SERVICE_UNAVAILABLE", "{answer}");
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "its owner's time-out holds"
    );
    lock.rollback().await.unwrap();
    eventually("signed up", async || {
        code(&sign_up(&app.api, "a@example.com").await) == "none"
    })
    .await;
    app.finish().await;
}

async fn lock_table(app: &TestApp, table: &str) -> DatabaseTransaction {
    let url = app.database.url.expose_secret();
    let lock = Database::connect(url).await.unwrap().begin().await.unwrap();
    lock.execute_unprepared(&format!("LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE"))
        .await
        .unwrap();
    lock
}

/// Who needs the table is told so in time, however many they are; who does not need it is served.
#[rstest]
#[case::operations("operations", true, true)]
#[case::operation_events("operation_events", true, true)]
#[case::tries("tries", true, false)]
#[case::users("users", false, false)]
#[case::audit_events("audit_events", true, false)]
#[case::replicas("replicas", true, true)]
#[tokio::test]
async fn a_locked_table_stops_only_what_needs_it(
    #[case] table: &str,
    #[case] signed_in_works: bool,
    #[case] sign_up_works: bool,
) {
    let setup = Setup {
        configure: |config| config.database_connections = 10,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Postgres, setup).await;
    let mut users = Vec::new();
    for number in 0..20 {
        users.push(app.user(&format!("{number}@example.com")).await);
    }
    let lock = lock_table(&app, table).await;
    let connecting = users.iter().map(async |user| {
        let answer = user.connect_answer("slow", "admin123");
        let answer = timeout(TOLD_WITHIN, answer).await.expect("told in time");
        assert!(
            ["SERVICE_UNAVAILABLE", "none"].contains(&code(&answer)),
            "{answer}"
        );
    });
    let others = async {
        for number in 0..10 {
            let answer = sign_up(&app.api, &format!("new-{number}@example.com")).await;
            let works = code(&answer) == "none";
            assert_eq!(works, sign_up_works, "{answer}");
            assert!(works || code(&answer) == "SERVICE_UNAVAILABLE", "{answer}");
            let answer = users[0].send(ME, json!({}));
            let answer = timeout(TOLD_WITHIN, answer).await.expect("told in time");
            let works = answer["data"]["me"]["id"].is_string();
            assert_eq!(works, signed_in_works, "{answer}");
            assert!(works || code(&answer) == "SERVICE_UNAVAILABLE", "{answer}");
        }
    };
    tokio::join!(join_all(connecting), others);
    lock.rollback().await.unwrap();
    eventually("all works again", async || {
        let answer = sign_up(&app.api, "last@example.com").await;
        ["none", "EMAIL_TAKEN"].contains(&code(&answer)) && {
            let answer = users[0].connect_answer("slow", "admin123").await;
            ["none", "OPERATION_IN_PROGRESS"].contains(&code(&answer))
        }
    })
    .await;
    for user in &users {
        let active = user
            .data("{ me { activeOperation { id } } }", json!({}))
            .await;
        if let Some(id) = active["me"]["activeOperation"]["id"].as_str() {
            user.cancel(id).await;
        }
    }
    app.finish().await;
}

/// A row that is locked is no reason to refuse what needs other rows of its table, however often its user asks
/// for it.
#[tokio::test]
async fn a_locked_row_stops_only_what_needs_it() {
    let app = TestApp::start(Backend::Postgres).await;
    let held = app.user("a@example.com").await;
    let other = app.user("b@example.com").await;
    for user in [&held, &other] {
        connects(&app, user).await;
    }
    let url = app.database.url.expose_secret();
    let database = Database::connect(url).await.unwrap();
    let lock = database.begin().await.unwrap();
    let row = "SELECT 1 FROM connections WHERE user_id = \
               (SELECT id FROM users WHERE email = 'a@example.com') FOR UPDATE";
    lock.execute_unprepared(row).await.unwrap();
    let waiting = async {
        // Many more than there are connections.
        let answers = (0..20).map(|_| timeout(TOLD_WITHIN, held.send(DISCONNECT, json!({}))));
        for answer in join_all(answers).await {
            assert_eq!(code(&answer.expect("told in time")), "SERVICE_UNAVAILABLE");
        }
    };
    let served = async {
        eventually("somebody waits for it", async || {
            waits_for_lock(&database).await
        })
        .await;
        assert_eq!(disconnects(&other).await, true);
    };
    tokio::join!(waiting, served);
    // Also when it was waited for in vain.
    connects(&app, &other).await;
    assert_eq!(disconnects(&other).await, true);
    lock.rollback().await.unwrap();
    app.finish().await;
}

async fn connects(app: &TestApp, user: &Api) {
    let operation = user.connect("Admin", "admin123").await;
    let mut socket = app.socket(user).await;
    socket
        .follow("1", operation["id"].as_str().unwrap(), Some(0))
        .await;
    assert_eq!(socket.events().await.last().unwrap()["status"], "DONE");
}

async fn disconnects(user: &Api) -> Value {
    let data = user.data(DISCONNECT, json!({})).await;
    data["disconnectOrangeHrm"]["disconnected"].clone()
}

/// Whether one of this database's connections waits for a lock.
async fn waits_for_lock(database: &DatabaseConnection) -> bool {
    let waits = sea_orm::Statement::from_string(
        sea_orm::DbBackend::Postgres,
        "SELECT 1 FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    database.query_one_raw(waits).await.unwrap().is_some()
}

#[tokio::test]
async fn a_sqlite_file_that_another_process_writes_to_for_long_is_told_in_time() {
    let app = TestApp::start(Backend::Sqlite).await;
    let user = app.user("a@example.com").await;
    let other = Database::connect(app.database.url.expose_secret())
        .await
        .unwrap();
    let writing = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    };
    let lock = other.begin_with_options(writing).await.unwrap();
    let signing_up = (0..10).map(async |number| {
        let answer = sign_up(&app.api, &format!("new-{number}@example.com")).await;
        assert_eq!(code(&answer), "SERVICE_UNAVAILABLE", "{answer}");
    });
    let reading = async {
        for _ in 0..10 {
            let answer = timeout(TOLD_WITHIN, user.data(ME, json!({})));
            let answer = answer.await.expect("read in time");
            assert!(answer["me"]["id"].is_string(), "{answer}");
        }
    };
    tokio::join!(join_all(signing_up), reading);
    lock.rollback().await.unwrap();
    eventually("signed up", async || {
        code(&sign_up(&app.api, "last@example.com").await) == "none"
    })
    .await;
    app.finish().await;
}

/// Which the gateway does not count on: it sets what it needs.
#[rstest]
#[tokio::test]
async fn another_isolation_by_default_changes_nothing(
    #[values("repeatable read", "serializable")] isolation: &str,
) {
    let created = TestDatabase::create(Backend::Postgres).await;
    let owner = Owner::of(&created.url).await;
    owner
        .set(&format!("default_transaction_isolation = '{isolation}'"))
        .await;
    let app = TestApp::on(created, Backend::Postgres, Setup::default()).await;
    let mut users = Vec::new();
    for number in 0..20 {
        users.push(app.user(&format!("{number}@example.com")).await);
    }
    let connecting = users.iter().map(async |user| {
        let answer = user.connect_answer("Admin", "admin123").await;
        assert_eq!(code(&answer), "none", "{answer}");
    });
    join_all(connecting).await;
    let database = database::connect(&app.database.url, 1).await.unwrap();
    let level = sea_orm::Statement::from_string(
        sea_orm::DbBackend::Postgres,
        "SHOW default_transaction_isolation",
    );
    let level = database.query_one_raw(level).await.unwrap().unwrap();
    assert_eq!(
        level.try_get_by_index::<String>(0).unwrap(),
        "read committed"
    );
    app.finish().await;
}
