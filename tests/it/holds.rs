//! What is sent to Intuned, and what is not, while it asks to be left alone: who reads stops nobody else.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use intuned_client::ApiGeneration;
use intuned_gateway::{accounts::ReadBudgets, app::AppConfig, connections::StatusKeeping};
use intuned_simulator::{Call, Fault, PASSCODE, RateLimit};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

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
    eventually("the hold is over", async || {
        let answer = user.send(DISCONNECT, json!({})).await;
        answer["data"]["disconnectOrangeHrm"]["disconnected"].is_boolean()
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

/// So much Intuned answers to one key.
const LIMIT: RateLimit = RateLimit {
    each_second: 20,
    retry_after: Duration::from_secs(10),
};

fn polls_slowly(config: &mut AppConfig) {
    config.operations.poll_schedule.poll_interval = Duration::from_millis(250);
}

/// Counts statuses and keeps them as the program does.
fn with_shipped_budgets(config: &mut AppConfig) {
    polls_slowly(config);
    config.accounts.reads = ReadBudgets::default();
    config.connections.statuses = Some(StatusKeeping {
        fresh_for: Duration::from_secs(2),
        fallback_for: Duration::from_mins(1),
    });
}

/// What one of several loops has been answered lately.
type Answers = Mutex<Vec<(Value, Duration)>>;

/// Reads the status again and again until `over`.
async fn reads_without_rest(user: &Api, answers: &Answers, over: &AtomicBool) {
    while !over.load(Relaxed) {
        let begun = Instant::now();
        let answer = user
            .send("{ me { connection { status } } }", json!({}))
            .await;
        let mut answers = answers.lock().unwrap();
        answers.push((answer, begun.elapsed()));
    }
}

fn refusals(answers: &Answers) -> usize {
    let answers = answers.lock().unwrap();
    let refused = answers
        .iter()
        .filter(|(answer, _)| !answer["errors"].is_null());
    refused.count()
}

/// Connects one who has not been there, and tells how long it took.
async fn connects_anew(app: &TestApp, email: &str) -> Duration {
    let user = app.user(email).await;
    let begun = Instant::now();
    connects(&user).await;
    begun.elapsed()
}

#[rstest]
#[tokio::test]
async fn who_reads_without_rest_and_without_a_budget_holds_up_nobody_who_signs_in(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: polls_slowly,
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let reader = connected(&app, "a@example.com").await;
    app.intuned.limit(LIMIT);
    let (one, other) = (Answers::default(), Answers::default());
    let over = AtomicBool::new(false);
    let signing_in = async {
        eventually("turned away", async || {
            refusals(&one) > 1 && refusals(&other) > 1
        })
        .await;
        // The second in which reads have used up all that there is.
        sleep(Duration::from_secs(1)).await;
        for answers in [&one, &other] {
            answers.lock().unwrap().clear();
        }
        let sent = reads(&app);
        let took = connects_anew(&app, "b@example.com").await;
        over.store(true, Relaxed);
        assert!(took < LIMIT.retry_after / 2, "{took:?}");
        assert_eq!(reads(&app), sent, "nothing was sent that is held");
    };
    let (first, second) = (
        reads_without_rest(&reader, &one, &over),
        reads_without_rest(&reader, &other, &over),
    );
    tokio::join!(first, second, signing_in);
    for (answer, took) in [one, other]
        .into_iter()
        .flat_map(|all| all.into_inner().unwrap())
    {
        assert!((1..=10).contains(&asked_to_wait(&answer)), "{answer:#}");
        assert!(
            took < Duration::from_secs(3),
            "told at once, not after {took:?}"
        );
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn who_reads_without_rest_within_the_budget_is_answered_and_intuned_seldom_asked(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: with_shipped_budgets,
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let reader = connected(&app, "a@example.com").await;
    app.intuned.limit(LIMIT);
    let (one, other) = (Answers::default(), Answers::default());
    let over = AtomicBool::new(false);
    let (sent, begun) = (reads(&app), Instant::now());
    let signing_in = async {
        eventually("it reads", async || !one.lock().unwrap().is_empty()).await;
        let took = connects_anew(&app, "b@example.com").await;
        over.store(true, Relaxed);
        assert!(took < LIMIT.retry_after / 2, "{took:?}");
    };
    let (first, second) = (
        reads_without_rest(&reader, &one, &over),
        reads_without_rest(&reader, &other, &over),
    );
    tokio::join!(first, second, signing_in);
    assert_eq!(refusals(&one) + refusals(&other), 0);
    let allowed = begun.elapsed().as_secs() / 2 + 1;
    assert!((reads(&app) - sent) as u64 <= allowed);
    app.finish().await;
}
