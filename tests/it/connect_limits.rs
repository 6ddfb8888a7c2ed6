//! Limits on attempts to connect, on both databases and across replicas.

use futures_util::future::join_all;
use intuned_simulator::Call;
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    metrics::Reading,
    support::{Api, Backend, Setup, TestApp},
};

fn limits(user: u32, client: u32) -> Setup {
    Setup {
        configure: match (user, client) {
            (3, 0) => |config| config.accounts.connects.for_each_user = 3,
            (0, 3) => |config| config.accounts.connects.for_each_client = 3,
            other => panic!("no test has {other:?}"),
        },
        ..Setup::default()
    }
}

/// Begins to connect as somebody who is asked for a passcode, and gives up.
async fn connect_and_cancel(user: &Api) {
    let operation = user.connect("passcode", "admin123").await;
    user.cancel(operation["id"].as_str().unwrap()).await;
}

fn assert_refused(answer: &Value) {
    let extensions = &answer["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "RATE_LIMITED", "{answer}");
    let seconds = extensions["retryAfterSeconds"].as_u64().unwrap();
    // A third of the span.
    assert!((1..=300).contains(&seconds), "{answer}");
}

#[rstest]
#[tokio::test]
async fn a_user_begins_so_many_attempts_on_all_replicas(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::with(backend, limits(3, 0)).await;
    let user = app.user("a@example.com").await;
    let keyed = json!({ "username": "passcode", "password": "admin123", "idempotencyKey": "key" });
    let first = user.connect_with(keyed.clone()).await;
    let id = &first["data"]["connectOrangeHrm"]["operation"]["id"];
    for _ in 0..5 {
        // Neither a repeat nor one too many begins anything.
        let again = user.connect_with(keyed.clone()).await;
        let repeated = &again["data"]["connectOrangeHrm"]["operation"]["id"];
        assert_eq!(repeated, id, "{again}");
        let busy = user.connect_answer("passcode", "admin123").await;
        let code = &busy["errors"][0]["extensions"]["code"];
        assert_eq!(code, "OPERATION_IN_PROGRESS", "{busy}");
        let wrong = user.connect_answer("", "admin123").await;
        let code = &wrong["errors"][0]["extensions"]["code"];
        assert_eq!(code, "BAD_USER_INPUT", "{wrong}");
    }
    user.cancel(id.as_str().unwrap()).await;
    connect_and_cancel(&user).await;
    connect_and_cancel(&user).await;
    assert_refused(&user.connect_answer("passcode", "admin123").await);
    if backend == Backend::Postgres {
        let replica = app.replica().await;
        let there = replica.user(&user);
        assert_refused(&there.connect_answer("passcode", "admin123").await);
        replica.finish().await;
    }
    let me = user
        .data("{ me { activeOperation { id } } }", json!({}))
        .await;
    assert_eq!(me["me"]["activeOperation"], Value::Null);
    assert!(app.intuned.calls(Call::CreateStart) <= 3);
    // What began before is still answered, and others are not touched.
    let again = user.connect_with(keyed).await;
    let repeated = &again["data"]["connectOrangeHrm"]["operation"]["id"];
    assert_eq!(repeated, id, "{again}");
    connect_and_cancel(&app.user("b@example.com").await).await;

    let reading = Reading::of(&app).await;
    let sample = r#"tries_refused_total{kind="connect",limit="user"}"#;
    assert!(reading.value(sample) > 0.5, "{}", reading.text);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn users_of_one_client_begin_so_many_together(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::with(backend, limits(0, 3)).await;
    let (one, other) = (
        app.user("a@example.com").await,
        app.user("b@example.com").await,
    );
    connect_and_cancel(&one).await;
    connect_and_cancel(&other).await;
    connect_and_cancel(&one).await;
    assert_refused(&one.connect_answer("passcode", "admin123").await);
    assert_refused(&other.connect_answer("passcode", "admin123").await);
    let reading = Reading::of(&app).await;
    let sample = r#"tries_refused_total{kind="connect",limit="client"}"#;
    assert!(reading.value(sample) > 1.5, "{}", reading.text);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_same_at_once_is_one_attempt(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::with(backend, limits(3, 0)).await;
    let user = app.user("a@example.com").await;
    let keyed = json!({ "username": "passcode", "password": "admin123", "idempotencyKey": "key" });
    let answers = join_all((0..12).map(|_| user.connect_with(keyed.clone()))).await;
    let id = |answer: &Value| answer["data"]["connectOrangeHrm"]["operation"]["id"].clone();
    for answer in &answers {
        assert!(id(answer).is_string(), "{answer}");
        assert_eq!(id(answer), id(&answers[0]), "{answer}");
    }
    user.cancel(id(&answers[0]).as_str().unwrap()).await;
    // All but one were given back.
    connect_and_cancel(&user).await;
    connect_and_cancel(&user).await;
    assert_refused(&user.connect_answer("passcode", "admin123").await);
    assert!(app.intuned.calls(Call::CreateStart) <= 3);
    app.finish().await;
}
