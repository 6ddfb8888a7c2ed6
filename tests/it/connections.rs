//! Reading a connection's status and claims.

use std::time::Duration;

use futures_util::future::join_all;
use intuned_simulator::{Call, Fault};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Api, Backend, Setup, TestApp, eventually};

async fn connected(app: &TestApp) -> Api {
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("connected", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
    user
}

#[rstest]
#[tokio::test]
async fn a_status_is_asked_for_once_in_a_request(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app).await;
    let before = app.intuned.calls(Call::One);
    let often = "{ a: me { connection { status again: status } } b: me { connection { status } } }";
    let data = user.data(often, json!({})).await;
    assert_eq!(data["a"]["connection"]["again"], "READY");
    assert_eq!(data["b"]["connection"]["status"], "READY");
    assert_eq!(app.intuned.calls(Call::One) - before, 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn those_who_ask_together_share_the_answer(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app).await;
    let (one, runs) = (
        app.intuned.calls(Call::One),
        app.intuned.calls(Call::RunStart),
    );
    let slow = Fault::delay(Duration::from_secs(1));
    app.intuned.script(Call::One, 1, &slow);
    app.intuned.script(Call::RunStart, 1, &slow);
    let both = "{ me { connection { status claims } } }";
    let answers = join_all((0..10).map(|_| user.data(both, json!({})))).await;
    assert!(answers.iter().all(|answer| answer == &answers[0]));
    assert_eq!(answers[0]["me"]["connection"]["status"], "READY");
    assert_eq!(app.intuned.calls(Call::One) - one, 1);
    assert_eq!(app.intuned.calls(Call::RunStart) - runs, 1);
    // Nothing of it is kept.
    user.data(both, json!({})).await;
    assert_eq!(app.intuned.calls(Call::RunStart) - runs, 2);
    app.finish().await;
}

#[tokio::test]
async fn claims_are_kept_where_the_operator_wants_it() {
    let setup = Setup {
        configure: |config| config.connections.claims_cache = Duration::from_mins(1),
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Sqlite, setup).await;
    let user = connected(&app).await;
    let claims = "{ me { connection { claims } } }";
    let first = user.data(claims, json!({})).await;
    assert_eq!(user.data(claims, json!({})).await, first);
    assert_eq!(app.intuned.calls(Call::RunStart), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn when_intuned_cannot_be_asked_the_rest_of_the_answer_stays(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app).await;
    app.intuned.script(Call::One, 1, &Fault::answer(500));
    let answer = user
        .send(
            "{ me { email connection { id status createdAt } } }",
            json!({}),
        )
        .await;
    let connection = &answer["data"]["me"]["connection"];
    assert_eq!(connection["status"], Value::Null);
    assert!(connection["id"].is_string() && connection["createdAt"].is_string());
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
    assert_eq!(answer["errors"][0]["extensions"]["code"], "UPSTREAM_ERROR");
    let again = user
        .data("{ me { connection { status } } }", json!({}))
        .await;
    assert_eq!(again["me"]["connection"]["status"], "READY");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_session_that_intuned_does_not_know_has_expired(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app).await;
    app.intuned.script(Call::One, 1, &Fault::answer(404));
    let data = user
        .data("{ me { connection { status } } }", json!({}))
        .await;
    assert_eq!(data["me"]["connection"]["status"], "EXPIRED");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn claims_that_take_too_long_are_given_up(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| config.connections.claims_timeout = Duration::from_millis(300),
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let user = connected(&app).await;
    app.intuned.script(Call::RunStart, 1, &Fault::hang());
    let code = user
        .error_code("{ me { connection { claims } } }", json!({}))
        .await;
    assert_eq!(code, "UPSTREAM_TIMEOUT");
    app.finish().await;
}
