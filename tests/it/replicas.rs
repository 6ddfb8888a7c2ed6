//! Several gateways on one Postgres.

use std::{
    backtrace::Backtrace,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use ambient::{Clock, SystemClock};
use chrono::{DateTime, TimeDelta, Utc};
use entity::{operation, replica};
use intuned_simulator::{Call, Fault, PASSCODE};
use rstest::rstest;
use sea_orm::{
    ColumnTrait, ConnectionTrait, Database, DatabaseConnection, EntityTrait, PaginatorTrait,
    QueryFilter, QuerySelect, Set, TransactionTrait, sea_query::Expr,
};
use secrecy::ExposeSecret;
use serde_json::Value;
use uuid::Uuid;

use crate::support::{Backend, Setup, TestApp, eventually, waiting};

fn id(operation: &Value) -> &str {
    operation["id"].as_str().unwrap()
}

fn slow() -> Setup {
    Setup {
        delay_scale: 0.3,
        ..Setup::default()
    }
}

fn changes(events: &[Value]) -> Vec<u64> {
    let changes = events.iter().filter(|event| event["kind"] == "CHANGE");
    changes
        .map(|event| event["sequence"].as_u64().unwrap())
        .collect()
}

async fn database(app: &TestApp) -> DatabaseConnection {
    let url = app.config.database_url.expose_secret();
    Database::connect(url).await.unwrap()
}

/// Gives all operations to another replica, as if it had taken them over.
async fn hand_over(database: &DatabaseConnection) {
    let other = Uuid::from_u128(2);
    let far = DateTime::UNIX_EPOCH + TimeDelta::days(40_000);
    let alive = replica::ActiveModel {
        id: Set(other),
        beat_at: Set(far.into()),
    };
    replica::Entity::insert(alive).exec(database).await.unwrap();
    operation::Entity::update_many()
        .col_expr(operation::Column::Owner, Expr::value(other))
        .col_expr(operation::Column::Epoch, Expr::value(2))
        .exec(database)
        .await
        .unwrap();
}

#[tokio::test]
async fn connect_here_follow_there_answer_elsewhere() {
    let app = TestApp::with(Backend::Postgres, slow()).await;
    let second = app.replica().await;
    let third = app.replica().await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("passcode", "admin123").await;
    let mut socket = second.socket(&user).await;
    socket.follow("1", id(&operation), Some(0)).await;
    let mut events = Vec::new();
    let asked = loop {
        let event = socket.event().await.unwrap();
        events.push(event.clone());
        if event["status"] == "REQUESTED_MORE_INFO" {
            break event;
        }
    };
    let request = asked["operation"]["infoRequest"]["id"].as_str().unwrap();
    let answer = third
        .user(&user)
        .resume(id(&operation), request, "123456")
        .await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    events.extend(socket.events().await);
    assert_eq!(events.last().unwrap()["status"], "DONE", "{events:#?}");
    let numbers = changes(&events);
    assert!(
        numbers.iter().copied().eq(1..=numbers.len() as u64),
        "{events:#?}"
    );
    let progress = events.iter().filter(|event| event["kind"] == "PROGRESS");
    assert!(
        progress.count() > 0,
        "progress crosses replicas: {events:#?}"
    );
    assert_eq!(app.intuned.calls(Call::CreateResume), 1);
    third.finish().await;
    second.finish().await;
    app.finish().await;
}

#[tokio::test]
async fn a_clean_stop_hands_over_at_once() {
    let setup = Setup {
        // Nobody waits so long.
        configure: |config| config.operations.lease = Duration::from_mins(1),
        ..slow()
    };
    let mut app = TestApp::with(Backend::Postgres, setup).await;
    let second = app.replica().await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    let mut socket = second.socket(&user).await;
    socket.follow("1", id(&operation), Some(0)).await;
    assert_eq!(socket.event().await.unwrap()["status"], "STARTING");
    while socket.event().await.unwrap()["status"] != "PENDING" {}
    app.stop().await;
    let events = socket.events().await;
    assert_eq!(events.last().unwrap()["status"], "DONE", "{events:#?}");
    second.finish().await;
    app.finish().await;
}

#[tokio::test]
async fn what_a_dead_replica_left_is_taken_over() {
    let app = TestApp::with(Backend::Postgres, slow()).await;
    let user = app.user("a@example.com").await;
    let asked = app.asked(&user, "passcode").await;
    // As if its owner had died: nobody of that id gives signs of life.
    let database = database(&app).await;
    let nobody = Uuid::from_u128(1);
    operation::Entity::update_many()
        .col_expr(operation::Column::Owner, Expr::value(nobody))
        .col_expr(operation::Column::Epoch, Expr::value(7))
        .exec(&database)
        .await
        .unwrap();
    eventually("taken over under a new epoch", async || {
        operation::Entity::find()
            .filter(operation::Column::Owner.ne(nobody))
            .filter(operation::Column::Epoch.eq(8))
            .count(&database)
            .await
            .unwrap()
            == 1
    })
    .await;
    let polls = app.intuned.calls(Call::CreateResult);
    eventually("polled on", async || {
        app.intuned.calls(Call::CreateResult) > polls + 2
    })
    .await;
    user.cancel(&asked.id).await;
    app.finish().await;
}

#[tokio::test]
async fn a_replica_whose_lease_was_taken_changes_nothing() {
    let app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    // The poll that brings the end is under way while the operation changes hands.
    let (at_once, late) = (Duration::ZERO, Duration::from_secs(1));
    for delay in [at_once, late] {
        app.intuned
            .script(Call::CreateResult, 1, &Fault::delay(delay));
    }
    let operation = user.connect("Admin", "admin123").await;
    eventually("asked", async || app.intuned.calls(Call::CreateResult) == 2).await;
    let database = database(&app).await;
    hand_over(&database).await;
    let pause = late + app.config.operations.poll_schedule.poll_interval * 20;
    let let_go = async || {
        let polls = app.intuned.calls(Call::CreateResult);
        tokio::time::sleep(pause).await;
        app.intuned.calls(Call::CreateResult) == polls
    };
    eventually("polled no more", let_go).await;
    let untouched = user.operation(id(&operation)).await;
    assert_eq!(untouched["status"], "PENDING", "{untouched:#}");
    assert_eq!(untouched["sequence"], 2);
    user.cancel(id(&operation)).await;
    app.finish().await;
}

#[tokio::test]
async fn followers_elsewhere_cost_no_polls() {
    let app = TestApp::with(Backend::Postgres, slow()).await;
    let second = app.replica().await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    let mut sockets = Vec::new();
    for _ in 0..21 {
        let mut socket = second.socket(&user).await;
        socket.follow("1", id(&operation), Some(0)).await;
        sockets.push(socket);
    }
    let mut told = Vec::new();
    for mut socket in sockets {
        let events = socket.events().await;
        assert_eq!(events.last().unwrap()["status"], "DONE", "{events:#?}");
        told.push(changes(&events));
    }
    assert!(told.iter().all(|changes| *changes == told[0]), "{told:?}");
    let polls = app.intuned.calls(Call::CreateResult);
    second.finish().await;
    let alone = user.connect("Admin", "admin123").await;
    eventually("done", async || {
        user.operation(id(&alone)).await["status"] == "DONE"
    })
    .await;
    let without = app.intuned.calls(Call::CreateResult) - polls;
    // The same but for jitter.
    assert!(
        polls <= without + without / 4 + 2,
        "{polls} with, {without} without"
    );
    app.finish().await;
}

#[tokio::test]
async fn a_start_that_waits_while_its_lease_is_taken_is_not_sent() {
    let app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    let busy = Fault::answer(429).with_header("retry-after", "1");
    app.intuned.script(Call::CreateStart, 1, &busy);
    let operation = user.connect("Admin", "admin123").await;
    eventually("turned away", async || {
        app.intuned.calls(Call::CreateStart) == 1
    })
    .await;
    hand_over(&database(&app).await).await;
    // One that waits no shorter.
    let later = app.user("b@example.com").await;
    let done = later.connect("Admin", "admin123").await;
    eventually("done", async || {
        later.operation(id(&done)).await["status"] == "DONE"
    })
    .await;
    assert_eq!(app.intuned.calls(Call::CreateStart), 2);
    assert_eq!(user.operation(id(&operation)).await["status"], "STARTING");
    user.cancel(id(&operation)).await;
    app.finish().await;
}

/// Both find the question open, and the connection of one breaks before it has written anything.
#[tokio::test]
async fn of_two_answers_at_once_one_is_sent_although_a_connection_breaks() {
    let app = TestApp::start(Backend::Postgres).await;
    let second = app.replica().await;
    let user = app.user("a@example.com").await;
    let mut asked = app.asked(&user, "passcode").await;
    let database = database(&app).await;
    let lock = database.begin().await.unwrap();
    let locked = operation::Entity::find().lock_exclusive();
    locked.one(&lock).await.unwrap();

    let first = user.resume(&asked.id, &asked.request, PASSCODE);
    let elsewhere = second.user(&user);
    let late = elsewhere.resume(&asked.id, &asked.request, PASSCODE);
    let trouble = async {
        let [first] = waiting(&database, &[]).await;
        first
    };
    let (first, late) = {
        tokio::pin!(first, late);
        let one = tokio::select! {
            answer = &mut first => panic!("{answer:#}"),
            one = trouble => one,
        };
        let trouble = async {
            let both: [i32; 2] = waiting(&database, &[]).await;
            let broken = both.into_iter().find(|pid| *pid != one).unwrap();
            let break_it = format!("SELECT pg_terminate_backend({broken})");
            database.execute_unprepared(&break_it).await.unwrap();
            let _again: [i32; 2] = waiting(&database, &[broken]).await;
            lock.rollback().await.unwrap();
        };
        let (first, late, ()) = tokio::join!(first, late, trouble);
        (first, late)
    };
    let code = |answer: &Value| answer["errors"][0]["extensions"]["code"].clone();
    assert_eq!(code(&first), Value::Null, "{first:#}");
    assert_eq!(code(&late), "INFO_REQUEST_STALE", "{late:#}");
    let events = asked.socket.events().await;
    assert_eq!(events.last().unwrap()["status"], "DONE");
    assert_eq!(app.intuned.calls(Call::CreateResume), 1);
    second.finish().await;
    app.finish().await;
}

/// The machine's clock, wrong by so many minutes.
#[derive(Debug)]
struct WrongBy(i64);

impl Clock for WrongBy {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + TimeDelta::minutes(self.0)
    }
}

/// Leases go by the database's clock alone.
#[rstest]
#[case::ahead(30)]
#[case::behind(-30)]
#[tokio::test]
async fn a_replica_whose_clock_is_wrong_takes_nothing_over(#[case] minutes: i64) {
    let app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    let asked = app.asked(&user, "passcode").await;
    let database = database(&app).await;
    let driven = async || {
        let row = operation::Entity::find().one(&database).await.unwrap();
        row.map(|row| (row.owner, row.epoch))
    };
    let beats = async || {
        let others = replica::Entity::find().all(&database).await.unwrap();
        others.into_iter().map(|row| (row.id, row.beat_at))
    };
    let (first, _) = beats().await.next().unwrap();
    let before = driven().await;
    assert_eq!(before.unwrap().0, Some(first));

    let wrong = app.replica_by(WrongBy(minutes)).await;
    let last = async || beats().await.find(|(id, _)| *id != first);
    eventually("it lives", async || last().await.is_some()).await;
    let (_, since) = last().await.unwrap();
    let lease = TimeDelta::from_std(app.config.operations.lease).unwrap();
    // It looks for what nobody drives each second, and for longer than a lease.
    eventually("it has looked", async || {
        last().await.is_some_and(|(_, beat)| *beat - *since > lease)
    })
    .await;
    assert_eq!(driven().await, before);
    assert_eq!(beats().await.count(), 2, "neither counts the other as dead");

    let answer = user.resume(&asked.id, &asked.request, PASSCODE).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    eventually("done", async || {
        user.operation(&asked.id).await["status"] == "DONE"
    })
    .await;
    drop(asked);
    wrong.finish().await;
    app.finish().await;
}

/// A defect: once it is to, it panics where the time is asked for while an operation is worked on.
#[derive(Clone, Debug, Default)]
struct Defect(Arc<AtomicBool>);

impl Clock for Defect {
    fn now(&self) -> DateTime<Utc> {
        let is_due = self.0.load(Ordering::Relaxed)
            && Backtrace::force_capture()
                .to_string()
                .contains("steps::Steps");
        assert!(
            !(is_due && self.0.swap(false, Ordering::Relaxed)),
            "a defect"
        );
        SystemClock.now()
    }
}

#[tokio::test]
async fn a_defect_that_one_operation_brings_out_ends_neither_it_nor_others() {
    let mut app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    let other = app.user("b@example.com").await;
    app.stop().await;
    let defect = Defect::default();
    let replica = app.replica_by(defect.clone()).await;
    let (user, other) = (replica.user(&user), replica.user(&other));
    let operation = user.connect("passcode", "admin123").await;
    let mut socket = replica.socket(&user).await;
    socket.follow("1", id(&operation), None).await;
    let asked = socket.until("REQUESTED_MORE_INFO").await;
    defect.0.store(true, Ordering::Relaxed);
    eventually("met", async || !defect.0.load(Ordering::Relaxed)).await;

    let beside = other.connect("Admin", "admin123").await;
    eventually("done", async || {
        other.operation(id(&beside)).await["status"] == "DONE"
    })
    .await;
    let request = asked["operation"]["infoRequest"]["id"].as_str().unwrap();
    let answer = user.resume(id(&operation), request, PASSCODE).await;
    assert!(answer.get("errors").is_none(), "{answer:#}");
    assert_eq!(socket.events().await.last().unwrap()["status"], "DONE");
    replica.finish().await;
    app.finish().await;
}
