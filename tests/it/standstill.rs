//! A process that stands still between having read that it may send a start and sending it: what it has read
//! may be long untrue when it goes on.

use std::{fs, time::Duration};

use entity::operation;
use intuned_gateway::simulator::{Call, Fault};
use rustix::process::Signal;
use sea_orm::{ConnectionTrait, Database, DatabaseConnection, EntityTrait, TransactionTrait};
use secrecy::ExposeSecret;
use serde_json::Value;

use crate::support::{
    API_KEY, Api, Backend, Process, TestApp, eventually,
    process::{self, Settings},
};

/// Long enough for a table to be locked meanwhile.
const TURNED_AWAY_FOR: &str = "3";
const LEASE: Duration = Duration::from_secs(1);

/// A user of gateways in processes of their own, none of which has started yet.
async fn stage() -> (TestApp, Api, Settings, DatabaseConnection) {
    let mut app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    app.stop().await;
    let url = app.config.database_url.expose_secret();
    let mut settings = process::settings(url, app.config.intuned.base_url.as_str(), API_KEY);
    settings.push(("LEASE", "1s".to_owned()));
    settings.push(("OPERATION_TIMEOUT", "1m".to_owned()));
    let database = Database::connect(url).await.unwrap();
    (app, user, settings, database)
}

/// Begins to connect, and stops the process while it reads whether it may send the start. The answer is that
/// it may, and waits for it.
async fn stops_before_the_start(
    app: &TestApp,
    user: &Api,
    gateway: &Process,
    database: &DatabaseConnection,
) -> Value {
    let busy = Fault::answer(429).with_header("retry-after", TURNED_AWAY_FOR);
    app.intuned.script(Call::CreateStart, 1, &busy);
    let operation = user.connect("Admin", "admin123").await;
    eventually("turned away", async || {
        app.intuned.calls(Call::CreateStart) == 1
    })
    .await;
    let lock = database.begin().await.unwrap();
    let everything = "LOCK TABLE operations IN ACCESS EXCLUSIVE MODE";
    lock.execute_unprepared(everything).await.unwrap();
    let reading = "SELECT 1 FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock' \
                   AND query LIKE 'SELECT \"operations\".\"id\", \"operations\".\"user_id\"%'";
    eventually("the row is being read", async || {
        let found = database.execute_unprepared(reading).await.unwrap();
        found.rows_affected() == 1
    })
    .await;
    gateway.signal(Signal::STOP);
    let state = format!("/proc/{}/stat", gateway.id());
    eventually("it stands still", async || {
        fs::read_to_string(&state).unwrap().contains(") T ")
    })
    .await;
    lock.rollback().await.unwrap();
    operation
}

async fn row(database: &DatabaseConnection) -> operation::Model {
    let found = operation::Entity::find().one(database).await.unwrap();
    found.unwrap()
}

#[tokio::test]
async fn a_process_that_stood_still_sends_no_start_for_what_another_has_taken_over() {
    let (app, user, settings, database) = stage().await;
    let mut stopped = Process::spawn(&settings);
    let there = user.at(&stopped.ready().await);
    let mut other = Process::spawn(&settings);
    let here = user.at(&other.ready().await);
    let operation = stops_before_the_start(&app, &there, &stopped, &database).await;
    eventually("taken over", async || row(&database).await.epoch == 2).await;
    stopped.signal(Signal::CONT);
    eventually("it does not send the start", async || {
        let told = "a start was not sent: somebody else has ended or taken over the operation";
        stopped.log().contains(told)
    })
    .await;
    let id = operation["id"].as_str().unwrap();
    eventually("ended", async || {
        here.operation(id).await["status"] == "FAILED"
    })
    .await;
    let ended = here.operation(id).await;
    assert_eq!(ended["failure"]["code"], "INTERRUPTED", "{ended:#}");
    assert_eq!(there.operation(id).await, ended);
    assert_eq!(
        app.intuned.calls(Call::CreateStart),
        1,
        "the one turned away"
    );
    assert!(app.intuned.sessions().is_empty());
    stopped.stop().await;
    other.stop().await;
    app.finish().await;
}

#[tokio::test]
async fn a_process_that_stood_still_alone_reads_anew_and_sends_the_start_once() {
    let (app, user, settings, database) = stage().await;
    let mut gateway = Process::spawn(&settings);
    let user = user.at(&gateway.ready().await);
    let operation = stops_before_the_start(&app, &user, &gateway, &database).await;
    tokio::time::sleep(2 * LEASE).await;
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);
    gateway.signal(Signal::CONT);
    let id = operation["id"].as_str().unwrap();
    eventually("done", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
    assert_eq!(app.intuned.calls(Call::CreateStart), 2);
    assert_eq!(app.intuned.sessions().len(), 1);
    assert_eq!(row(&database).await.epoch, 1, "nobody else had it");
    gateway.stop().await;
    app.finish().await;
}
