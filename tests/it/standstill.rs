//! A process that stands still between having read that it may send a start and sending it: what it has read
//! may be long untrue when it goes on.

use std::{fs, time::Duration};

use entity::operation;
use intuned_simulator::{Call, Fault};
use rustix::process::Signal;
use sea_orm::{Database, DatabaseConnection, EntityTrait};
use secrecy::ExposeSecret;
use serde_json::Value;
use tokio::time::sleep;

use crate::{
    processes::{behind_proxy, settings},
    support::{Api, Backend, Process, Proxy, TestApp, eventually},
};

/// So often a start is turned away, a second each time: whenever it is to stop, there is a next try.
const TRIES: usize = 8;
const LEASE: &str = "1s";
const LONGER_THAN_LEASE: Duration = Duration::from_secs(2);

/// A user of gateways in processes of their own, the first of which is behind a proxy.
async fn stage() -> (TestApp, Api, Process, Proxy) {
    let mut app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    app.stop().await;
    let busy = Fault::answer(429).with_header("retry-after", "1");
    app.intuned.script(Call::CreateStart, TRIES, &busy);
    let (gateway, proxy) = behind_proxy(&app, LEASE).await;
    let user = user.at(&gateway.ready().await);
    (app, user, gateway, proxy)
}

async fn database(app: &TestApp) -> DatabaseConnection {
    let url = app.config.database_url.expose_secret();
    Database::connect(url).await.unwrap()
}

async fn epoch(database: &DatabaseConnection) -> i32 {
    let found = operation::Entity::find().one(database).await.unwrap();
    found.unwrap().epoch
}

/// Begins to connect, and stops the process when it has been answered that it may send the start, and does not
/// know yet.
async fn stops_before_the_start(
    app: &TestApp,
    user: &Api,
    gateway: &Process,
    proxy: &Proxy,
) -> Value {
    let operation = user.connect("Admin", "admin123").await;
    // By then what reads the row is prepared.
    eventually("turned away twice", async || {
        app.intuned.calls(Call::CreateStart) > 1
    })
    .await;
    proxy.hold_reads(true);
    eventually("the row was read", async || proxy.held_up() > 0).await;
    gateway.signal(Signal::STOP);
    let state = format!("/proc/{}/stat", gateway.id());
    eventually("it stands still", async || {
        fs::read_to_string(&state).unwrap().contains(") T ")
    })
    .await;
    proxy.hold_reads(false);
    operation
}

#[tokio::test]
async fn a_process_that_stood_still_sends_no_start_for_what_another_has_taken_over() {
    let (app, user, mut stopped, proxy) = stage().await;
    let mut other = Process::spawn(&settings(&app, LEASE));
    let elsewhere = user.at(&other.ready().await);
    let operation = stops_before_the_start(&app, &user, &stopped, &proxy).await;
    let tried = app.intuned.calls(Call::CreateStart);
    let database = database(&app).await;
    eventually("taken over", async || epoch(&database).await == 2).await;
    stopped.signal(Signal::CONT);
    eventually("it does not send the start", async || {
        let told = "a start was not sent: somebody else has ended or taken over the operation";
        stopped.log().contains(told)
    })
    .await;
    let id = operation["id"].as_str().unwrap();
    elsewhere.cancel(id).await;
    let ended = user.operation(id).await;
    assert_eq!(ended["status"], "CANCELED", "{ended:#}");
    assert_eq!(app.intuned.calls(Call::CreateStart), tried);
    assert!(app.intuned.sessions().is_empty());
    stopped.stop().await;
    other.stop().await;
    app.finish().await;
}

#[tokio::test]
async fn a_process_that_stood_still_alone_reads_anew_and_sends_the_start_once() {
    let (app, user, mut gateway, proxy) = stage().await;
    let operation = stops_before_the_start(&app, &user, &gateway, &proxy).await;
    sleep(LONGER_THAN_LEASE).await;
    gateway.signal(Signal::CONT);
    let id = operation["id"].as_str().unwrap();
    eventually("done", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
    assert_eq!(app.intuned.calls(Call::CreateStart), TRIES + 1);
    assert_eq!(app.intuned.sessions().len(), 1);
    gateway.stop().await;
    app.finish().await;
}
