//! Budgets for what users read from Intuned, on both databases and across replicas, and what is kept of it.

use std::time::Duration;

use entity::audit_event;
use futures_util::future::join_all;
use intuned_gateway::{accounts::Budget, app::AppConfig, connections::StatusKeeping};
use intuned_simulator::{Call, Fault};
use rstest::rstest;
use sea_orm::{ColumnTrait, Database, EntityTrait, PaginatorTrait, QueryFilter};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::{
    metrics::Reading,
    support::{Api, Backend, Setup, TestApp, eventually},
};

const CLAIMS: &str = "{ me { email connection { id claims } } }";
const STATUS: &str = "{ me { email connection { id status } } }";
const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";
const THREE: Budget = Budget {
    tries: 3,
    window: Duration::from_mins(15),
};

async fn start(backend: Backend, configure: fn(&mut AppConfig)) -> TestApp {
    let setup = Setup {
        configure,
        ..Setup::default()
    };
    TestApp::with(backend, setup).await
}

async fn three_runs(backend: Backend) -> TestApp {
    start(backend, |config| config.accounts.reads.runs = THREE).await
}

async fn three_statuses(backend: Backend) -> TestApp {
    start(backend, |config| config.accounts.reads.statuses = THREE).await
}

/// As the program has it, but for longer.
async fn kept_statuses(backend: Backend) -> TestApp {
    let for_long = |config: &mut AppConfig| {
        config.connections.statuses = Some(StatusKeeping {
            fresh_for: Duration::from_mins(5),
            fallback_for: Duration::ZERO,
        });
    };
    start(backend, for_long).await
}

async fn kept_claims(backend: Backend) -> TestApp {
    let for_long = |config: &mut AppConfig| {
        config.connections.claims_cache = Duration::from_mins(5);
    };
    start(backend, for_long).await
}

async fn connects(user: &Api) {
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("connected", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
}

async fn connected(app: &TestApp, email: &str) -> Api {
    let user = app.user(email).await;
    connects(&user).await;
    user
}

/// That this field alone is refused.
fn assert_refused(answer: &Value) {
    let extensions = &answer["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "RATE_LIMITED", "{answer}");
    let seconds = extensions["retryAfterSeconds"].as_u64().unwrap();
    // A third of the span.
    assert!((1..=300).contains(&seconds), "{answer}");
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1, "{answer}");
    let me = &answer["data"]["me"];
    assert!(me["email"].is_string() && me["connection"]["id"].is_string());
}

async fn is_refused(user: &Api, query: &str) {
    assert_refused(&user.send(query, json!({})).await);
}

async fn claims(user: &Api) -> Value {
    user.data(CLAIMS, json!({})).await["me"]["connection"]["claims"].clone()
}

async fn status(user: &Api) -> Value {
    user.data(STATUS, json!({})).await["me"]["connection"]["status"].clone()
}

/// How many readings of claims stand in trails.
async fn recorded(app: &TestApp) -> u64 {
    let url = app.config.database_url.expose_secret();
    let database = Database::connect(url).await.unwrap();
    let read = audit_event::Column::Kind.eq(audit_event::Kind::ClaimsRead);
    let rows = audit_event::Entity::find().filter(read);
    rows.count(&database).await.unwrap()
}

/// The next run has this result.
fn run_brings(app: &TestApp, result: &Value) {
    let end = json!({ "status": "completed", "result": result });
    let end = Fault::answer(200).with_body(end.to_string());
    app.intuned.script(Call::RunResult, 1, &end);
}

#[rstest]
#[tokio::test]
async fn a_user_begins_so_many_runs_on_all_replicas_each_recorded_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = three_runs(backend).await;
    let user = connected(&app, "a@example.com").await;
    // Those who ask together share a run, and count as one.
    let slow = Fault::delay(Duration::from_secs(1));
    app.intuned.script(Call::RunStart, 1, &slow);
    let aliases = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13].map(|n| format!("c{n}: claims"));
    let aliases = aliases.join(" ");
    let query = format!("{{ me {{ connection {{ {aliases} }} }} }}");
    let crowd = join_all((0..20).map(|_| user.data(&query, json!({})))).await;
    assert!(crowd.iter().all(|answer| answer == &crowd[0]));
    for _ in 0..2 {
        claims(&user).await;
    }
    for _ in 0..5 {
        is_refused(&user, CLAIMS).await;
    }
    if backend == Backend::Postgres {
        let replica = app.replica().await;
        is_refused(&replica.user(&user), CLAIMS).await;
        replica.finish().await;
    }
    assert_eq!(app.intuned.calls(Call::RunStart), 3);
    eventually("recorded", async || recorded(&app).await == 3).await;
    // It has nothing to do with the status, nor with others.
    assert_eq!(status(&user).await, "READY");
    claims(&connected(&app, "b@example.com").await).await;
    let reading = Reading::of(&app).await;
    let sample = r#"tries_refused_total{kind="run",limit="user"}"#;
    assert!(reading.value(sample) > 4.5, "{}", reading.text);
    app.finish().await;
}

/// However many fields and events of a subscription ask.
#[rstest]
#[tokio::test]
async fn a_budget_holds_for_subscriptions_too(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = three_runs(backend).await;
    let user = connected(&app, "a@example.com").await;
    for _ in 0..3 {
        claims(&user).await;
    }
    let operation = user.connect("Admin", "admin123").await;
    let mut socket = app.socket(&user).await;
    let query = "subscription($id: ID!) { operationStatus(operationId: $id, afterSequence: 0) {
        status operation { connection { id claims } } } }";
    let payload = json!({ "query": query, "variables": { "id": operation["id"] } });
    socket
        .try_send(&json!({ "id": "1", "type": "subscribe", "payload": payload }))
        .await;
    let told = loop {
        let message = socket.next().await.unwrap();
        assert_eq!(message["type"], "next", "{message:#}");
        let payload = &message["payload"];
        if payload["data"]["operationStatus"]["status"] == "DONE" {
            break payload.clone();
        }
    };
    let connection = &told["data"]["operationStatus"]["operation"]["connection"];
    assert!(connection["id"].is_string(), "{told:#}");
    let code = &told["errors"][0]["extensions"]["code"];
    assert_eq!(code, "RATE_LIMITED", "{told:#}");
    assert_eq!(app.intuned.calls(Call::RunStart), 3);
    drop(socket);
    app.finish().await;
}

#[rstest]
#[case::turned_away(Fault::answer(429).with_header("retry-after", "0"))]
#[tokio::test]
async fn a_run_that_did_not_begin_is_given_back(
    #[case] fault: Fault,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = three_runs(backend).await;
    let user = connected(&app, "a@example.com").await;
    app.intuned.script(Call::RunStart, 5, &fault);
    // Each begins a hold of a second, in which nothing is sent or counted.
    eventually("turned away five times", async || {
        is_refused(&user, CLAIMS).await;
        app.intuned.calls(Call::RunStart) == 5
    })
    .await;
    eventually("the hold is over", async || {
        let answer = user.send(CLAIMS, json!({})).await;
        answer.get("errors").is_none()
    })
    .await;
    for _ in 0..2 {
        claims(&user).await;
    }
    is_refused(&user, CLAIMS).await;
    assert_eq!(app.intuned.calls(Call::RunStart), 8);
    app.finish().await;
}

/// Intuned answers a run with 401 when its session has expired as well: it is asked for that.
#[rstest]
#[case::wrong_key(401, Some(401))]
#[case::wrong_key_for_runs(401, None)]
#[case::forbidden(403, None)]
#[tokio::test]
async fn a_run_that_was_refused_because_of_the_key_is_given_back(
    #[case] to_start: u16,
    #[case] to_look: Option<u16>,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = three_runs(backend).await;
    let user = connected(&app, "a@example.com").await;
    app.intuned
        .script(Call::RunStart, 5, &Fault::answer(to_start));
    if let Some(status) = to_look {
        app.intuned.script(Call::One, 5, &Fault::answer(status));
    }
    for _ in 0..5 {
        assert_eq!(user.error_code(CLAIMS, json!({})).await, "UPSTREAM_ERROR");
    }
    for _ in 0..3 {
        claims(&user).await;
    }
    is_refused(&user, CLAIMS).await;
    assert_eq!(app.intuned.calls(Call::RunStart), 8);
    app.finish().await;
}

/// By a hold that it came to be known of only when it was asked why.
#[rstest]
#[tokio::test]
async fn a_refused_run_that_nobody_can_look_into_is_given_back(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = three_runs(backend).await;
    let user = connected(&app, "a@example.com").await;
    app.intuned.script(Call::RunStart, 1, &Fault::answer(401));
    app.intuned.script(Call::One, 1, &Fault::answer(429));
    is_refused(&user, CLAIMS).await;
    eventually("the hold is over", async || {
        let answer = user.send(CLAIMS, json!({})).await;
        answer.get("errors").is_none()
    })
    .await;
    for _ in 0..2 {
        claims(&user).await;
    }
    is_refused(&user, CLAIMS).await;
    assert_eq!(app.intuned.calls(Call::RunStart), 4);
    app.finish().await;
}

#[rstest]
#[case::failed(Fault::answer(500))]
#[case::refused(Fault::answer(400))]
#[tokio::test]
async fn a_run_that_was_sent_counts_whatever_comes_of_it(
    #[case] fault: Fault,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = three_runs(backend).await;
    let user = connected(&app, "a@example.com").await;
    app.intuned.script(Call::RunStart, 3, &fault);
    for _ in 0..3 {
        assert_eq!(user.error_code(CLAIMS, json!({})).await, "UPSTREAM_ERROR");
    }
    is_refused(&user, CLAIMS).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_users_status_is_asked_for_so_often_on_all_replicas(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = three_statuses(backend).await;
    let user = connected(&app, "a@example.com").await;
    let before = app.intuned.calls(Call::One);
    for _ in 0..3 {
        assert_eq!(status(&user).await, "READY");
    }
    is_refused(&user, STATUS).await;
    if backend == Backend::Postgres {
        let replica = app.replica().await;
        is_refused(&replica.user(&user), STATUS).await;
        replica.finish().await;
    }
    assert_eq!(app.intuned.calls(Call::One) - before, 3);
    claims(&user).await;
    assert_eq!(
        status(&connected(&app, "b@example.com").await).await,
        "READY"
    );
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn one_status_serves_for_a_while_and_no_error_does(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let for_a_second = |config: &mut AppConfig| {
        config.connections.statuses = Some(StatusKeeping {
            fresh_for: Duration::from_secs(1),
            fallback_for: Duration::ZERO,
        });
    };
    let app = start(backend, for_a_second).await;
    let user = connected(&app, "a@example.com").await;
    let before = app.intuned.calls(Call::One);
    app.intuned.script(Call::One, 2, &Fault::answer(500));
    for _ in 0..2 {
        assert_eq!(user.error_code(STATUS, json!({})).await, "UPSTREAM_ERROR");
    }
    assert_eq!(app.intuned.calls(Call::One) - before, 2);
    eventually("asked twice more, and seldom", async || {
        assert_eq!(status(&user).await, "READY");
        app.intuned.calls(Call::One) - before == 4
    })
    .await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn no_status_serves_those_who_have_connected_anew(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = kept_statuses(backend).await;
    let user = connected(&app, "a@example.com").await;
    app.intuned.script(
        Call::One,
        1,
        &Fault::answer(200).with_body(r#"{"status": "PENDING"}"#),
    );
    let asked = app.intuned.calls(Call::One);
    for _ in 0..3 {
        assert_eq!(status(&user).await, "PENDING");
    }
    assert_eq!(app.intuned.calls(Call::One), asked + 1);
    connects(&user).await;
    for _ in 0..3 {
        assert_eq!(status(&user).await, "READY");
    }
    // On its way out, the session is another thing than before.
    app.intuned.script(Call::Delete, 1, &Fault::answer(500));
    user.error_code(DISCONNECT, json!({})).await;
    let asked = app.intuned.calls(Call::One);
    app.intuned.script(Call::One, 1, &Fault::answer(404));
    assert_eq!(status(&user).await, "EXPIRED");
    assert_eq!(app.intuned.calls(Call::One), asked + 1);
    user.data(DISCONNECT, json!({})).await;
    connects(&user).await;
    assert_eq!(status(&user).await, "READY");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn no_status_serves_once_the_connection_was_found_to_have_expired(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = kept_statuses(backend).await;
    let user = connected(&app, "a@example.com").await;
    assert_eq!(status(&user).await, "READY");
    let session = app.intuned.sessions().remove(0).id;
    app.intuned.expire(&session);
    let code = user.error_code(CLAIMS, json!({})).await;
    assert_eq!(code, "CONNECTION_EXPIRED");
    assert_eq!(status(&user).await, "EXPIRED");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn kept_claims_are_those_of_the_account_that_is_connected(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = kept_claims(backend).await;
    let user = connected(&app, "a@example.com").await;
    for (result, again) in [("former", "former"), ("present", "present")] {
        run_brings(&app, &json!(result));
        assert_eq!(claims(&user).await, result);
        assert_eq!(claims(&user).await, again);
        connects(&user).await;
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_run_from_before_a_reconnect_is_neither_shared_nor_kept_for_later(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = kept_claims(backend).await;
    let user = connected(&app, "a@example.com").await;
    let former = json!({ "status": "completed", "result": "former" });
    let slow = Fault::answer(200)
        .with_body(former.to_string())
        .after(Duration::from_secs(3));
    app.intuned.script(Call::RunResult, 1, &slow);
    let first = claims(&user);
    let later = async {
        eventually("the run is looked at", async || {
            app.intuned.calls(Call::RunResult) == 1
        })
        .await;
        connects(&user).await;
        run_brings(&app, &json!("present"));
        claims(&user).await
    };
    let (first, later) = tokio::join!(first, later);
    assert_eq!((first, later), (json!("former"), json!("present")));
    assert_eq!(claims(&user).await, "present");
    assert_eq!(app.intuned.calls(Call::RunStart), 2);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn kept_claims_are_not_shown_once_the_connection_has_expired(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = kept_claims(backend).await;
    let user = connected(&app, "a@example.com").await;
    claims(&user).await;
    let session = app.intuned.sessions().remove(0).id;
    app.intuned.expire(&session);
    assert_eq!(status(&user).await, "EXPIRED");
    let code = user.error_code(CLAIMS, json!({})).await;
    assert_eq!(code, "CONNECTION_EXPIRED");
    app.finish().await;
}
