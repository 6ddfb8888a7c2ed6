//! What is sent to Intuned, and what is not, while it asks to be left alone: who reads stops nobody else.

use intuned_gateway::{
    intuned::ApiGeneration,
    simulator::{Call, Fault, PASSCODE},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    metrics::Reading,
    support::{Api, Backend, Setup, TestApp, eventually},
};

const STATUS: &str = "{ me { email connection { id status } } }";
const CLAIMS: &str = "{ me { email connection { id claims } } }";
const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";

fn busy(seconds: &str) -> Fault {
    Fault::answer(429).with_header("retry-after", seconds)
}

async fn connects(user: &Api) {
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("connected", async || {
        let operation = user.operation(id).await;
        assert_ne!(operation["status"], "FAILED", "{operation:#}");
        operation["status"] == "DONE"
    })
    .await;
}

async fn connected(app: &TestApp, email: &str) -> Api {
    let user = app.user(email).await;
    connects(&user).await;
    user
}

/// The seconds that the first error asks for.
fn asked_to_wait(answer: &Value) -> u64 {
    let extensions = &answer["errors"][0]["extensions"];
    assert_eq!(extensions["code"], "RATE_LIMITED", "{answer:#}");
    extensions["retryAfterSeconds"].as_u64().unwrap()
}

/// Reads, and is told to wait by that field alone.
async fn is_held(user: &Api, query: &str) {
    let answer = user.send(query, json!({})).await;
    assert!((1..=60).contains(&asked_to_wait(&answer)), "{answer:#}");
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
    let me = &answer["data"]["me"];
    assert!(me["email"].is_string() && me["connection"]["id"].is_string());
}

fn reads(app: &TestApp) -> usize {
    [Call::One, Call::RunSync, Call::RunStart]
        .map(|call| app.intuned.calls(call))
        .iter()
        .sum()
}

#[rstest]
#[case::status(Call::One, STATUS, ApiGeneration::Auto)]
#[case::start_of_a_run(Call::RunStart, CLAIMS, ApiGeneration::Auto)]
#[case::run_in_one_request(Call::RunSync, CLAIMS, ApiGeneration::V0_3)]
#[tokio::test]
async fn a_429_to_a_read_holds_reads_alone(
    #[case] call: Call,
    #[case] query: &str,
    #[case] api: ApiGeneration,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: match api {
            ApiGeneration::V0_3 => |config| config.intuned.api = ApiGeneration::V0_3,
            _ => |_| {},
        },
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let (one, other) = (
        connected(&app, "a@example.com").await,
        connected(&app, "b@example.com").await,
    );
    let third = app.user("c@example.com").await;
    app.intuned.script(call, 1, &busy("60"));
    let answer = one.send(query, json!({})).await;
    assert_eq!(asked_to_wait(&answer), 60, "{answer:#}");
    let sent = reads(&app);
    for user in [&one, &other] {
        is_held(user, STATUS).await;
        is_held(user, CLAIMS).await;
    }
    assert_eq!(reads(&app), sent);
    // One whose start was not confirmed asks for the session, too.
    let lost = Fault::answer(500).after_work();
    app.intuned.script(Call::CreateStart, 1, &lost);
    connects(&third).await;
    let asked = app.asked(&third, "passcode").await;
    third.resume(&asked.id, &asked.request, PASSCODE).await;
    eventually("connected again", async || {
        third.operation(&asked.id).await["status"] == "DONE"
    })
    .await;
    let gone = third.data(DISCONNECT, json!({})).await;
    assert_eq!(gone["disconnectOrangeHrm"]["disconnected"], true);
    let reading = Reading::of(&app).await;
    let refused = r#"upstream_calls_refused_total{purpose="read",reason="held"}"#;
    assert!(reading.value(refused) > 1.5, "{}", reading.text);
    app.finish().await;
}

#[rstest]
#[case::start(Call::CreateStart)]
#[case::poll(Call::CreateResult)]
#[tokio::test]
async fn a_429_to_a_sign_in_holds_reads_and_removals_as_well(
    #[case] call: Call,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app, "a@example.com").await;
    let other = app.user("b@example.com").await;
    let sent = (reads(&app), app.intuned.calls(Call::Delete));
    let before = app.intuned.calls(call);
    app.intuned.script(call, 1, &busy("60"));
    let operation = other.connect("Admin", "admin123").await;
    eventually("turned away", async || app.intuned.calls(call) > before).await;
    is_held(&user, STATUS).await;
    is_held(&user, CLAIMS).await;
    let answer = user.send(DISCONNECT, json!({})).await;
    assert!((1..=60).contains(&asked_to_wait(&answer)), "{answer:#}");
    other.cancel(operation["id"].as_str().unwrap()).await;
    assert_eq!((reads(&app), app.intuned.calls(Call::Delete)), sent);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_answer_in_a_hold_is_refused_before_anything_is_written(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let asked = app.asked(&user, "passcode").await;
    let polls = app.intuned.calls(Call::CreateResult);
    app.intuned.script(Call::CreateResult, 1, &busy("2"));
    eventually("turned away", async || {
        app.intuned.calls(Call::CreateResult) > polls
    })
    .await;
    let answer = user.resume(&asked.id, &asked.request, PASSCODE).await;
    assert!((1..=2).contains(&asked_to_wait(&answer)), "{answer:#}");
    assert_eq!(app.intuned.calls(Call::CreateResume), 0);
    let operation = user.operation(&asked.id).await;
    assert_eq!(operation["sequence"], asked.sequence, "{operation:#}");
    eventually("the hold is over", async || {
        let answer = user.resume(&asked.id, &asked.request, PASSCODE).await;
        answer.get("errors").is_none()
    })
    .await;
    eventually("connected", async || {
        user.operation(&asked.id).await["status"] == "DONE"
    })
    .await;
    assert_eq!(app.intuned.calls(Call::CreateResume), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_429_to_a_removal_holds_removals_alone_however_often_it_is_asked_for(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app, "a@example.com").await;
    let reader = connected(&app, "b@example.com").await;
    app.intuned.script(Call::Delete, 1, &busy("2"));
    let answer = user.send(DISCONNECT, json!({})).await;
    assert_eq!(asked_to_wait(&answer), 2);
    for _ in 0..5 {
        let answer = user.send(DISCONNECT, json!({})).await;
        assert!((1..=2).contains(&asked_to_wait(&answer)), "{answer:#}");
    }
    assert_eq!(app.intuned.calls(Call::Delete), 1);
    let status = reader.data(STATUS, json!({})).await;
    assert_eq!(status["me"]["connection"]["status"], "READY");
    connected(&app, "c@example.com").await;
    // The list of removals leaves it to whoever has asked, for a minute.
    eventually("the hold is over", async || {
        let answer = user.send(DISCONNECT, json!({})).await;
        answer["data"]["disconnectOrangeHrm"]["disconnected"] == true
    })
    .await;
    assert_eq!(app.intuned.calls(Call::Delete), 2);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_run_that_is_under_way_outlasts_a_hold(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app, "a@example.com").await;
    app.intuned.script(Call::RunResult, 1, &busy("1"));
    let data = user.data(CLAIMS, json!({})).await;
    assert!(data["me"]["connection"]["claims"].is_array(), "{data:#}");
    assert_eq!(app.intuned.calls(Call::RunStart), 1);
    assert!(app.intuned.calls(Call::RunResult) > 1);
    app.finish().await;
}
