//! Replicas as processes of their own, killed and stopped.

use std::time::Duration;

use entity::{audit_event, operation, operation_event, user};
use intuned_simulator::{Call, Fault, PASSCODE};
use rstest::rstest;
use rustix::process::Signal;
use sea_orm::{
    ColumnTrait, ConnectionTrait, Database, DatabaseConnection, EntityTrait, PaginatorTrait,
    QueryFilter, QueryOrder, QuerySelect, TransactionTrait,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::support::{
    API_KEY, Api, Backend, Process, Proxy, Setup, TestApp, eventually,
    process::{self, Settings},
    socket::{DEADLINE, Socket},
    waiting,
};

/// Whatever a dead replica drove is driven by another one within this time.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(15);
/// A change whose notification was lost is found within this time.
const FOUND_WITHIN: Duration = Duration::from_secs(2);

fn id(operation: &Value) -> &str {
    operation["id"].as_str().unwrap()
}

/// For processes over the application's database and Intuned.
pub(crate) fn settings(app: &TestApp, lease: &str) -> Settings {
    let database_url = app.config.database_url.expose_secret();
    let base_url = app.config.intuned.base_url.as_str();
    let mut settings = process::settings(database_url, base_url, API_KEY);
    settings.push(("LEASE", lease.to_owned()));
    settings
}

async fn database(app: &TestApp) -> DatabaseConnection {
    let url = app.config.database_url.expose_secret();
    Database::connect(url).await.unwrap()
}

/// The only operation and its changes.
async fn rows(database: &DatabaseConnection) -> (operation::Model, Vec<operation_event::Model>) {
    let operation = operation::Entity::find().one(database).await.unwrap();
    let events = operation_event::Entity::find()
        .order_by_asc(operation_event::Column::Sequence)
        .all(database)
        .await
        .unwrap();
    (operation.unwrap(), events)
}

async fn answer(user: &Api, operation: &str, asked: &Value) {
    let request = asked["operation"]["infoRequest"]["id"].as_str().unwrap();
    let answer = user.resume(operation, request, PASSCODE).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
}

fn check_changes(events: &[Value]) {
    let changes = events.iter().filter(|event| event["kind"] == "CHANGE");
    let numbers: Vec<_> = changes
        .map(|event| event["sequence"].as_u64().unwrap())
        .collect();
    assert!(
        numbers.iter().copied().eq(1..=numbers.len() as u64),
        "{events:#?}"
    );
}

/// Follows from the beginning until the user is asked.
async fn until_asked(socket: &mut Socket, operation: &str) -> Vec<Value> {
    socket.follow("1", operation, Some(0)).await;
    let mut events = Vec::new();
    loop {
        let event = socket.event().await.unwrap();
        let asked = event["status"] == "REQUESTED_MORE_INFO";
        events.push(event);
        if asked {
            return events;
        }
    }
}

#[tokio::test]
async fn what_a_killed_replica_drove_goes_on_elsewhere() {
    let mut app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    app.stop().await;
    let settings = settings(&app, "10s");
    let mut owner = Process::spawn(&settings);
    let second = Process::spawn(&settings);
    let third = Process::spawn(&settings);

    let operation = user
        .at(&owner.ready().await)
        .connect("passcode", "admin123")
        .await;
    let mut socket = Socket::open(&second.ready().await, user.token.as_deref()).await;
    let mut events = until_asked(&mut socket, id(&operation)).await;
    owner.kill().await;
    let user = user.at(&third.ready().await);
    answer(&user, id(&operation), events.last().unwrap()).await;
    let rest = timeout(TAKEN_OVER_WITHIN, socket.events()).await;
    events.extend(rest.expect("taken over in time"));
    assert_eq!(events.last().unwrap()["status"], "DONE", "{events:#?}");
    check_changes(&events);
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);
    assert_eq!(app.intuned.calls(Call::CreateResume), 1);
    let (row, _) = rows(&database(&app).await).await;
    assert_eq!(row.epoch, 2, "taken over once");
    for mut replica in [second, third] {
        replica.stop().await;
    }
    app.finish().await;
}

#[tokio::test]
async fn a_replica_that_was_stopped_past_its_lease_changes_nothing() {
    let mut app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    app.stop().await;
    let settings = settings(&app, "1s");
    let stopped = Process::spawn(&settings);
    let url = stopped.ready().await;
    // Its poll brings the news that the user is asked while it is stopped.
    let late = Fault::delay(Duration::from_millis(500));
    app.intuned.script(Call::CreateResult, 9, &late);
    let operation = user.at(&url).connect("passcode", "admin123").await;
    eventually("a poll is under way", async || {
        app.intuned.calls(Call::CreateResult) == 3
    })
    .await;
    stopped.signal(Signal::STOP);

    let other = Process::spawn(&settings);
    let url = other.ready().await;
    let mut socket = Socket::open(&url, user.token.as_deref()).await;
    let mut events = until_asked(&mut socket, id(&operation)).await;
    answer(&user.at(&url), id(&operation), events.last().unwrap()).await;
    events.extend(socket.events().await);
    assert_eq!(events.last().unwrap()["status"], "DONE", "{events:#?}");
    check_changes(&events);

    let database = database(&app).await;
    let before = rows(&database).await;
    assert_eq!(before.0.epoch, 2);
    stopped.signal(Signal::CONT);
    eventually("it knows that its lease ran out", async || {
        stopped.log().contains("lease ran out")
    })
    .await;
    let again = user.at(&stopped.ready().await);
    assert_eq!(again.operation(id(&operation)).await["status"], "DONE");
    assert_eq!(
        rows(&database).await,
        before,
        "the late write changed nothing"
    );
    assert_eq!(app.intuned.calls(Call::CreateResume), 1);
    for mut replica in [stopped, other] {
        replica.stop().await;
    }
    app.finish().await;
}

#[tokio::test]
async fn a_change_whose_notification_was_lost_is_found() {
    let setup = Setup {
        delay_scale: 0.3,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Postgres, setup).await;
    let second = app.replica().await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("passcode", "admin123").await;
    let mut socket = second.socket(&user).await;
    until_asked(&mut socket, id(&operation)).await;
    let database = database(&app).await;
    let broken = database
        .execute_unprepared(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
             WHERE datname = current_database() AND query LIKE 'LISTEN%'",
        )
        .await
        .unwrap();
    assert_eq!(broken.rows_affected(), 2, "each of the two listened");
    user.cancel(id(&operation)).await;
    let found = timeout(FOUND_WITHIN, socket.until("CANCELED")).await;
    found.expect("found in time");
    second.finish().await;
    app.finish().await;
}

/// A process with a proxy between it and the database.
pub(crate) async fn behind_proxy(app: &TestApp, lease: &str) -> (Process, Proxy) {
    let url = app.config.database_url.expose_secret().parse().unwrap();
    let (proxy, url) = Proxy::before(&url).await;
    let mut settings = settings(app, lease);
    settings.push(("DATABASE_URL", url.to_string()));
    (Process::spawn(&settings), proxy)
}

/// The same, with nobody else there to serve its user.
pub(crate) async fn alone_behind_proxy(lease: &str) -> (TestApp, Api, Process, Proxy) {
    let mut app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    app.stop().await;
    let (gateway, proxy) = behind_proxy(&app, lease).await;
    let user = user.at(&gateway.ready().await);
    (app, user, gateway, proxy)
}

/// Loses the acknowledgement of the next COMMIT.
async fn lose_commit(proxy: &Proxy) {
    proxy.lose_commits(1000);
    while proxy.broken().1 == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    proxy.lose_commits(0);
}

/// Its server is gone without a word, has become a standby, or a pooler lent it to somebody else.
#[tokio::test]
async fn a_connection_that_hears_nothing_any_more_is_replaced() {
    let (app, _, mut gateway, proxy) = alone_behind_proxy("5s").await;
    let database = database(&app).await;
    let listening = async || {
        let found = "SELECT 1 FROM pg_stat_activity \
                     WHERE datname = current_database() AND query LIKE 'LISTEN%'";
        database
            .execute_unprepared(found)
            .await
            .unwrap()
            .rows_affected()
    };
    eventually("it listens", async || listening().await == 1).await;
    proxy.deafen();
    eventually("it noticed", async || {
        gateway.log().contains("does not hear what it tells itself")
    })
    .await;
    let url = gateway.ready().await.replace("/graphql", "/health/ready");
    eventually("it listens anew", async || {
        reqwest::get(&url).await.unwrap().status().is_success()
    })
    .await;
    let lost = || gateway.log().matches("tells itself").count();
    assert_eq!(lost(), 1, "{}", gateway.log());
    gateway.stop().await;
    app.finish().await;
}

/// Nobody knows whether a COMMIT took effect whose acknowledgement was lost; whoever follows must not
/// be left behind all the same.
#[tokio::test]
async fn a_cancellation_whose_commit_was_not_acknowledged_is_told() {
    let (app, user, mut gateway, proxy) = alone_behind_proxy("5s").await;
    let mut socket = Socket::open(&user.url, user.token.as_deref()).await;
    let first = user.connect("Admin", "admin123").await;
    socket.follow("1", id(&first), Some(0)).await;
    assert_eq!(socket.events().await.last().unwrap()["status"], "DONE");

    // A renewal, because no session is removed when it is given up: Intuned goes on asking.
    let renewal = user.connect("passcode", "admin123").await;
    let mut events = until_asked(&mut socket, id(&renewal)).await;
    let (canceled, ()) = tokio::join!(user.cancel(id(&renewal)), lose_commit(&proxy));
    let status = &canceled["data"]["cancelOperation"]["operation"]["status"];
    assert_eq!(status, "CANCELED", "{canceled:#}");
    let rest = timeout(DEADLINE, socket.events()).await;
    events.extend(rest.expect("told in time"));
    assert_eq!(events.last().unwrap()["status"], "CANCELED", "{events:#?}");
    check_changes(&events);
    gateway.stop().await;
    app.finish().await;
}

#[tokio::test]
async fn a_disconnection_whose_commit_was_not_acknowledged_is_recorded_once() {
    let (app, user, mut gateway, proxy) = alone_behind_proxy("5s").await;
    let operation = user.connect("Admin", "admin123").await;
    eventually("connected", async || {
        user.operation(id(&operation)).await["status"] == "DONE"
    })
    .await;
    let disconnect = "mutation { disconnectOrangeHrm { disconnected } }";
    let disconnecting = user.data(disconnect, json!({}));
    let (answer, ()) = tokio::join!(disconnecting, lose_commit(&proxy));
    assert_eq!(answer["disconnectOrangeHrm"]["disconnected"], true);
    let requested = audit_event::Entity::find()
        .filter(audit_event::Column::Kind.eq(audit_event::Kind::DisconnectRequested));
    let requested = requested.count(&database(&app).await).await.unwrap();
    assert_eq!(requested, 1);
    gateway.stop().await;
    app.finish().await;
}

/// By the time that the acknowledgement of its row arrives, an operation may have been taken up as one that
/// nobody drives, by the very replica that began it. Then its credentials are not sent any more.
#[tokio::test]
async fn an_operation_that_was_taken_up_before_its_acknowledgement_came_is_not_started() {
    let (app, user, mut gateway, proxy) = alone_behind_proxy("1s").await;
    let database = database(&app).await;
    proxy.hold_commits(true);
    let taken_up = async {
        eventually("taken up", async || {
            let begun = operation::Entity::find().one(&database).await.unwrap();
            begun.is_some_and(|operation| operation.epoch > 1)
                && gateway.log().contains("took over operations in flight")
        })
        .await;
        proxy.hold_commits(false);
    };
    let (operation, ()) = tokio::join!(user.connect("Admin", "admin123"), taken_up);
    assert!(proxy.held_up() > 0);
    let refused = "a start was not sent: the operation was taken over";
    eventually("refused", async || gateway.log().contains(refused)).await;
    // Nobody knows whether anything was sent: Intuned is asked, by one that drives it without a break.
    let asked = app.intuned.calls(Call::One);
    eventually("driven on", async || {
        app.intuned.calls(Call::One) > asked + 1
    })
    .await;
    assert_eq!(rows(&database).await.0.epoch, 2);
    let mut socket = Socket::open(&user.url, user.token.as_deref()).await;
    socket.follow("1", id(&operation), Some(0)).await;
    user.cancel(id(&operation)).await;
    let events = socket.events().await;
    check_changes(&events);
    assert_eq!(events.last().unwrap()["status"], "CANCELED", "{events:#?}");
    assert_eq!(app.intuned.calls(Call::CreateStart), 0);
    gateway.stop().await;
    app.finish().await;
}

#[tokio::test]
async fn an_operation_that_ended_before_its_acknowledgement_was_made_up_for_is_not_started() {
    let app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    let (mut gateway, proxy) = behind_proxy(&app, "5s").await;
    let there = user.at(&gateway.ready().await);
    let away = async {
        lose_commit(&proxy).await;
        proxy.set_away(true);
        proxy.reset(100);
        let me = user.data("{ me { activeOperation { id } } }", json!({}));
        let operation = me.await["me"]["activeOperation"].clone();
        user.cancel(id(&operation)).await;
        proxy.set_away(false);
        operation
    };
    let connecting = there.connect("Admin", "admin123");
    let (told, canceled) = tokio::join!(connecting, away);
    assert_eq!(id(&told), id(&canceled));
    assert_eq!(told["status"], "CANCELED");
    let next = there.connect("Admin", "admin123").await;
    eventually("done", async || {
        there.operation(id(&next)).await["status"] == "DONE"
    })
    .await;
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);
    gateway.stop().await;
    app.finish().await;
}

/// The server does not notice that a connection is gone while its statement waits for a lock.
#[rstest]
#[tokio::test]
async fn an_operation_that_is_inserted_after_its_connection_broke_is_started_once(
    #[values(json!({}), json!({ "idempotencyKey": "k" }))] mut input: Value,
) {
    let (app, user, mut gateway, proxy) = alone_behind_proxy("5s").await;
    let database = database(&app).await;
    let lock = database.begin().await.unwrap();
    let locked = user::Entity::find().lock_exclusive();
    locked.one(&lock).await.unwrap();

    input["username"] = json!("Admin");
    input["password"] = json!("admin123");
    let trouble = async {
        let [broken] = waiting(&database, &[]).await;
        proxy.reset(100);
        let [_again] = waiting(&database, &[broken]).await;
        lock.rollback().await.unwrap();
    };
    let (told, ()) = tokio::join!(user.connect_with(input), trouble);
    let told = &told["data"]["connectOrangeHrm"]["operation"];
    assert_eq!(told["status"], "STARTING", "{told:#}");
    eventually("done", async || {
        user.operation(id(told)).await["status"] == "DONE"
    })
    .await;
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);
    assert_eq!(operation::Entity::find().count(&database).await.unwrap(), 1);
    gateway.stop().await;
    app.finish().await;
}

/// Begins to connect, and has the database be away from the process that sent the start for longer than its
/// lease. Intuned confirms the start `after` a while.
async fn start_while_away(
    app: &TestApp,
    gateway: &Process,
    proxy: &Proxy,
    user: &Api,
    (account, after): (&str, Duration),
) -> Value {
    let before = app.intuned.calls(Call::CreateStart);
    app.intuned
        .script(Call::CreateStart, 1, &Fault::delay(after));
    let operation = user.connect(account, "admin123").await;
    eventually("the start is under way", async || {
        app.intuned.calls(Call::CreateStart) > before
    })
    .await;
    proxy.set_away(true);
    proxy.reset(100);
    eventually("it knows that its lease ran out", async || {
        gateway.log().contains("lease ran out")
    })
    .await;
    proxy.set_away(false);
    operation
}

#[tokio::test]
async fn a_sign_in_that_began_while_the_database_was_away_can_still_ask() {
    let (app, user, mut gateway, proxy) = alone_behind_proxy("5s").await;
    let operation = start_while_away(
        &app,
        &gateway,
        &proxy,
        &user,
        ("passcode", Duration::from_secs(1)),
    )
    .await;
    let mut socket = Socket::open(&user.url, user.token.as_deref()).await;
    let mut events = until_asked(&mut socket, id(&operation)).await;
    answer(&user, id(&operation), events.last().unwrap()).await;
    events.extend(socket.events().await);
    assert_eq!(events.last().unwrap()["status"], "DONE", "{events:#?}");
    check_changes(&events);
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);
    gateway.stop().await;
    app.finish().await;
}

#[rstest]
#[case::confirmed_meanwhile(1)]
#[case::confirmed_later(10)]
#[tokio::test]
async fn a_renewal_that_began_while_the_database_was_away_goes_on(#[case] after: u64) {
    let mut app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    let first = user.connect("Admin", "admin123").await;
    eventually("connected", async || {
        user.operation(id(&first)).await["status"] == "DONE"
    })
    .await;
    app.stop().await;
    let (mut gateway, proxy) = behind_proxy(&app, "5s").await;
    let user = user.at(&gateway.ready().await);
    let renewal = start_while_away(
        &app,
        &gateway,
        &proxy,
        &user,
        ("Admin", Duration::from_secs(after)),
    )
    .await;
    let mut socket = Socket::open(&user.url, user.token.as_deref()).await;
    socket.follow("1", id(&renewal), Some(0)).await;
    let events = timeout(DEADLINE, socket.events())
        .await
        .expect("ends in time");
    assert_eq!(events.last().unwrap()["status"], "DONE", "{events:#?}");
    check_changes(&events);
    let row = operation::Entity::find_by_id(id(&renewal).parse::<uuid::Uuid>().unwrap());
    let row = row.one(&database(&app).await).await.unwrap().unwrap();
    let kept = after == 1 || row.epoch == 1;
    assert!(kept, "given up while the start was under way: {row:?}");
    gateway.stop().await;
    app.finish().await;
}
