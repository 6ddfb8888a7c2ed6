//! Ends that Intuned gives runs and sign-ins, and what clients are told of them.

use entity::connection;
use intuned_gateway::platform::database;
use intuned_simulator::{Call, Fault};
use rstest::rstest;
use sea_orm::EntityTrait;
use serde_json::{Value, json};

use crate::support::{Api, Backend, TestApp, eventually};

const CLAIMS: &str = "{ me { connection { claims } } }";
const STATUS: &str = "{ me { connection { status } } }";

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

async fn is_marked(app: &TestApp) -> bool {
    let database = database::connect(&app.config.database_url, 1)
        .await
        .unwrap();
    let row = connection::Entity::find().one(&database).await.unwrap();
    row.unwrap().expired_at.is_some()
}

fn ending(body: &Value) -> Fault {
    Fault::answer(200).with_body(body.to_string())
}

fn canceled(reason: &str) -> Value {
    json!({ "status": "canceled", "runId": "r", "reason": { "type": reason, "message": "canary-words" } })
}

fn failed(error: &Value) -> Value {
    json!({ "status": "failed", "error": error })
}

/// Intuned calls the session ready all the while: it was when it looked last.
#[rstest]
#[case::validation(canceled("auth-session-validate-dependency-failed"))]
#[case::gone(canceled("auth-session-not-found"))]
#[case::in_the_middle(canceled("auth-session-invalid-mid-job"))]
#[case::category(failed(&json!({ "category": "auth", "message": "canary-words" })))]
#[tokio::test]
async fn a_run_that_ends_because_of_its_session_marks_the_connection_until_one_ends_well(
    #[case] end: Value,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app).await;
    app.intuned.script(Call::RunResult, 1, &ending(&end));
    let answer = user.send(CLAIMS, json!({})).await;
    let error = &answer["errors"][0];
    assert_eq!(
        error["extensions"]["code"], "CONNECTION_EXPIRED",
        "{answer:#}"
    );
    assert_eq!(error["extensions"]["retryable"], false);
    assert!(is_marked(&app).await);
    let status = user.data(STATUS, json!({})).await;
    assert_eq!(status["me"]["connection"]["status"], "READY");
    assert!(is_marked(&app).await, "the run looked later");
    // The mark refuses nothing.
    let claims = user.data(CLAIMS, json!({})).await;
    assert!(claims["me"]["connection"]["claims"].is_array());
    assert!(!is_marked(&app).await);
    app.finish().await;
}

#[rstest]
#[case::billing(json!({ "category": "billing", "correlation_id": "c-1" }), "UPSTREAM_ERROR", false, Some("c-1"))]
#[case::user(json!({ "category": "user" }), "UPSTREAM_ERROR", false, None)]
#[case::too_big(json!({ "category": "execution", "code": "result-too-big-error" }), "RESULT_TOO_LARGE", false, None)]
#[case::time(json!({ "category": "execution", "code": "script-timeout" }), "UPSTREAM_TIMEOUT", true, None)]
#[case::trouble(json!({ "category": "infrastructure" }), "UPSTREAM_ERROR", true, None)]
#[case::trouble_that_stays(
    json!({ "category": "infrastructure", "retirable": false }),
    "UPSTREAM_ERROR",
    false,
    None
)]
#[case::documented_spelling(
    json!({ "category": "execution", "retriable": true }),
    "UPSTREAM_ERROR",
    true,
    None
)]
#[case::reference_that_is_none(
    json!({ "category": "infrastructure", "correlation_id": "<script>" }),
    "UPSTREAM_ERROR",
    true,
    None
)]
#[tokio::test]
async fn a_run_that_fails_tells_whether_to_try_again(
    #[case] error: Value,
    #[case] code: &str,
    #[case] retryable: bool,
    #[case] reference: Option<&str>,
) {
    let app = TestApp::start(Backend::Sqlite).await;
    let user = connected(&app).await;
    let end = ending(&failed(&error));
    app.intuned.script(Call::RunResult, 1, &end);
    let answer = user.send(CLAIMS, json!({})).await;
    assert_told(&answer["errors"][0], code, retryable);
    let told = answer["errors"][0]["extensions"]["reference"].as_str();
    assert_eq!(told, reference);
    app.finish().await;
}

#[rstest]
#[case("api-access-disabled", false)]
#[case("terminated", false)]
#[case("auth-session-locked", true)]
#[tokio::test]
async fn a_run_that_is_canceled_tells_whether_to_try_again(
    #[case] reason: &str,
    #[case] retryable: bool,
) {
    let app = TestApp::start(Backend::Sqlite).await;
    let user = connected(&app).await;
    let end = ending(&canceled(reason));
    app.intuned.script(Call::RunResult, 1, &end);
    let answer = user.send(CLAIMS, json!({})).await;
    assert_told(&answer["errors"][0], "UPSTREAM_ERROR", retryable);
    assert!(!is_marked(&app).await);
    app.finish().await;
}

fn assert_told(error: &Value, code: &str, retryable: bool) {
    assert_eq!(error["extensions"]["code"], code, "{error:#}");
    assert_eq!(error["extensions"]["retryable"], retryable, "{error:#}");
    let message = error["message"].as_str().unwrap();
    assert_eq!(message.contains("Try again"), retryable, "{message}");
    assert_eq!(
        message.contains("Trying again does not help"),
        !retryable,
        "{message}"
    );
}

#[rstest]
#[case(json!({ "status": "failed", "error": { "category": "billing", "correlation_id": "c-1" } }), "FAILED")]
#[case(json!({ "status": "canceled", "reason": { "type": "terminated", "correlation_id": "c-1", "retriable": false } }), "CANCELED")]
#[tokio::test]
async fn a_sign_in_that_intuned_ends_keeps_its_correlation_id(
    #[case] end: Value,
    #[case] status: &str,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    app.intuned.script(Call::CreateResult, 1, &ending(&end));
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    let mut socket = app.socket(&user).await;
    socket.follow("1", id, Some(0)).await;
    let events = socket.events().await;
    let followed = &events.last().unwrap()["operation"]["failure"];
    let ended = user.operation(id).await;
    assert_eq!(ended["status"], status, "{ended:#}");
    assert_eq!(ended["failure"], *followed);
    assert_eq!(followed["reference"], "c-1", "{followed:#}");
    assert_eq!(followed["retryable"], false);
    let message = followed["message"].as_str().unwrap();
    assert!(message.contains("does not help"), "{message}");
    app.finish().await;
}
