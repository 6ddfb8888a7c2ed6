//! Machines whose clocks are wrong, or jump: it is the database's that counts.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use ambient::{Clock, SystemClock};
use chrono::{DateTime, TimeDelta, Utc};
use entity::{operation, replica, session};
use intuned_simulator::PASSCODE;
use rstest::rstest;
use sea_orm::{Database, EntityTrait, ExprTrait, PaginatorTrait, sea_query::Expr};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::support::{Api, Backend, Setup, TestApp, eventually};

const ADA: &str = "ada@example.com";
const RIGHT: &str = "correct horse";
const SIGN_IN: &str = "mutation($input: SignInInput!) { signIn(input: $input) { token } }";

/// The machine's clock, wrong by so many minutes, which a test may change.
#[derive(Clone, Debug)]
struct Wrong(Arc<AtomicI64>);

impl Wrong {
    fn by(minutes: i64) -> Self {
        Self(Arc::new(AtomicI64::new(minutes)))
    }

    fn jump_to(&self, minutes: i64) {
        self.0.store(minutes, Ordering::Relaxed);
    }
}

impl Clock for Wrong {
    fn now(&self) -> DateTime<Utc> {
        SystemClock.now() + TimeDelta::minutes(self.0.load(Ordering::Relaxed))
    }
}

/// Limits that twenty minutes fill, and sessions that they outlast.
fn strict() -> Setup {
    Setup {
        configure: |config| {
            config.accounts.session_lifetime = Duration::from_mins(10);
            config.accounts.tries.for_each_address = 4;
            config.accounts.tries.for_each_client = 20;
            config.accounts.tries.sign_ins_for_each_client = 60;
            config.accounts.connects.for_each_user = 6;
        },
        ..Setup::default()
    }
}

/// Signs in; the error's code if that fails.
async fn sign_in(api: &Api, password: &str) -> Result<Api, String> {
    let input = json!({ "input": { "email": ADA, "password": password } });
    let answer = api.send(SIGN_IN, input).await;
    match answer["data"]["signIn"]["token"].as_str() {
        Some(token) => Ok(api.signed_in(token)),
        None => Err(answer["errors"][0]["extensions"]["code"]
            .as_str()
            .unwrap()
            .to_owned()),
    }
}

async fn is_signed_in(api: &Api) -> bool {
    api.data("{ me { id } }", json!({})).await["me"].is_object()
}

async fn connect_and_cancel(user: &Api) {
    let operation = user.connect("passcode", "admin123").await;
    user.cancel(operation["id"].as_str().unwrap()).await;
}

#[rstest]
#[case::ahead(20)]
#[case::behind(-20)]
#[case::days_ahead(3 * 24 * 60)]
#[case::days_behind(-3 * 24 * 60)]
#[tokio::test]
async fn a_replica_whose_clock_is_wrong_locks_nobody_out(#[case] minutes: i64) {
    let app = TestApp::with(Backend::Postgres, strict()).await;
    let wrong = app.replica_by(Wrong::by(minutes)).await;
    let (here, there) = (app.api.clone(), app.api.at(&wrong.url));
    let ada = app.user(ADA).await;
    for gateway in [&there, &here, &there] {
        let code = sign_in(gateway, "wrong horse").await.unwrap_err();
        assert_eq!(code, "INVALID_CREDENTIALS");
        for other in [&here, &there] {
            let user = sign_in(gateway, RIGHT).await.unwrap();
            // Sessions last everywhere as long as where they began.
            assert!(is_signed_in(&user.at(&other.url)).await);
            assert!(is_signed_in(&ada.at(&other.url)).await);
        }
        connect_and_cancel(&ada.at(&gateway.url)).await;
    }
    // Nobody gets more of it either.
    let mut tries = 0;
    while sign_in([&here, &there][tries % 2], "wrong horse")
        .await
        .unwrap_err()
        == "INVALID_CREDENTIALS"
    {
        tries += 1;
    }
    assert_eq!(tries, 4);
    // A repeat is one by either clock.
    let keyed = json!({ "username": "passcode", "password": "admin123", "idempotencyKey": "key" });
    let operation = |answer: &Value| answer["data"]["connectOrangeHrm"]["operation"]["id"].clone();
    let first = ada.connect_with(keyed.clone()).await;
    assert!(operation(&first).is_string(), "{first}");
    let repeated = ada.at(&there.url).connect_with(keyed).await;
    assert_eq!(operation(&first), operation(&repeated), "{repeated}");
    ada.cancel(operation(&first).as_str().unwrap()).await;
    wrong.finish().await;
    app.finish().await;
}

/// What ends a session by its age is not what one replica takes for the time.
#[tokio::test]
async fn a_replica_whose_clock_is_far_ahead_deletes_nothing_early() {
    let app = TestApp::start(Backend::Postgres).await;
    let user = app.user(ADA).await;
    connect_and_cancel(&user).await;
    let wrong = app.replica_by(Wrong::by(400 * 24 * 60)).await;
    let there = wrong.user(&user);
    // It prunes as soon as it starts.
    eventually("seen", async || is_signed_in(&there).await).await;
    sleep(Duration::from_secs(2)).await;
    let database = Database::connect(app.database.url.expose_secret());
    let database = database.await.unwrap();
    assert_eq!(session::Entity::find().count(&database).await.unwrap(), 1);
    assert_eq!(operation::Entity::find().count(&database).await.unwrap(), 1);
    assert!(is_signed_in(&user).await);
    database.close().await.unwrap();
    wrong.finish().await;
    app.finish().await;
}

#[rstest]
#[case::ahead(20)]
#[case::behind(-20)]
#[tokio::test]
async fn an_operation_that_is_taken_over_by_a_wrong_clock_is_not_given_up(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] minutes: i64,
) {
    let mut app = TestApp::start(backend).await;
    let user = app.user(ADA).await;
    let asked = app.asked(&user, "passcode").await;
    drop(asked.socket);
    app.restart_by(Wrong::by(minutes)).await;
    let user = user.at(&app.api.url);
    eventually("taken over", async || {
        let operation = user.operation(&asked.id).await;
        operation["status"] == "REQUESTED_MORE_INFO"
    })
    .await;
    // Long enough for some looks at it.
    sleep(Duration::from_millis(500)).await;
    assert_eq!(
        user.operation(&asked.id).await["status"],
        "REQUESTED_MORE_INFO"
    );
    user.resume(&asked.id, &asked.request, PASSCODE).await;
    eventually("done", async || {
        user.operation(&asked.id).await["status"] == "DONE"
    })
    .await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_clock_that_jumps_ends_nothing(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut app = TestApp::with(backend, strict()).await;
    let clock = Wrong::by(0);
    app.restart_by(clock.clone()).await;
    let user = app.user(ADA).await;
    let asked = app.asked(&user, "passcode").await;
    for minutes in [20, 0, -20, 3 * 24 * 60, 0] {
        clock.jump_to(minutes);
        assert!(is_signed_in(&user).await);
        sign_in(&app.api, RIGHT).await.unwrap();
        sleep(Duration::from_millis(300)).await;
        let operation = user.operation(&asked.id).await;
        assert_eq!(operation["status"], "REQUESTED_MORE_INFO", "{minutes}");
    }
    user.resume(&asked.id, &asked.request, PASSCODE).await;
    eventually("done", async || {
        user.operation(&asked.id).await["status"] == "DONE"
    })
    .await;
    drop(asked);
    app.finish().await;
}

/// As after a jump of the database's clock: a replica need not read in a table that it is alive.
#[rstest]
#[tokio::test]
async fn a_replica_does_not_take_over_from_itself(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user(ADA).await;
    let asked = app.asked(&user, "passcode").await;
    let database = intuned_gateway::platform::database::connect(&app.database.url, 1);
    let database = database.await.unwrap();
    let beat_at = replica::Column::BeatAt;
    let until = Instant::now() + Duration::from_secs(3);
    while Instant::now() < until {
        replica::Entity::update_many()
            .col_expr(beat_at, Expr::col(beat_at).sub(20 * 60 * 1000))
            .exec(&database)
            .await
            .unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    let row = operation::Entity::find().one(&database).await.unwrap();
    assert_eq!(row.unwrap().epoch, 1);
    user.resume(&asked.id, &asked.request, PASSCODE).await;
    eventually("done", async || {
        user.operation(&asked.id).await["status"] == "DONE"
    })
    .await;
    drop(asked);
    database.close().await.unwrap();
    app.finish().await;
}
