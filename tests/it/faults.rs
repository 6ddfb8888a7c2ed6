//! What goes wrong at Intuned, and what becomes of operations then.

use std::time::Duration;

use entity::{operation, session_removal};
use intuned_gateway::platform::database;
use intuned_simulator::{Call, Fault, PASSCODE};
use rstest::rstest;
use sea_orm::{Database, EntityTrait, PaginatorTrait, QuerySelect};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::support::{Api, Backend, Log, Setup, TestApp, eventually};

fn id(operation: &Value) -> &str {
    operation["id"].as_str().unwrap()
}

/// The operation once it has ended.
async fn end(app: &TestApp, user: &Api, operation: &Value) -> Value {
    let mut socket = app.socket(user).await;
    socket.follow("1", id(operation), Some(0)).await;
    let events = socket.events().await;
    let numbers: Vec<_> = events
        .iter()
        .filter(|event| event["kind"] == "CHANGE")
        .map(|event| event["sequence"].as_u64().unwrap())
        .collect();
    assert!(
        numbers.iter().copied().eq(1..=numbers.len() as u64),
        "{events:#?}"
    );
    user.operation(id(operation)).await
}

async fn end_of_admin(app: &TestApp, user: &Api) -> Value {
    let operation = user.connect("Admin", "admin123").await;
    end(app, user, &operation).await
}

#[rstest]
#[case::bad_request(400, false)]
#[case::not_found(404, false)]
#[case::conflict(409, false)]
#[case::unprocessable(422, false)]
#[case::unauthorized(401, false)]
#[case::forbidden(403, false)]
#[tokio::test]
async fn a_refused_start_fails_at_once(
    #[case] status: u16,
    #[case] retryable: bool,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    app.intuned
        .script(Call::CreateStart, 9, &Fault::answer(status));
    let ended = end_of_admin(&app, &user).await;
    assert_eq!(ended["status"], "FAILED");
    assert_eq!(ended["failure"]["code"], "UPSTREAM_ERROR");
    assert_eq!(ended["failure"]["retryable"], retryable);
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_start_that_was_turned_away_is_sent_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let busy = Fault::answer(429).with_header("retry-after", "0");
    app.intuned.script(Call::CreateStart, 2, &busy);
    let ended = end_of_admin(&app, &user).await;
    assert_eq!(ended["status"], "DONE", "{ended:#}");
    assert_eq!(app.intuned.calls(Call::CreateStart), 3);
    app.finish().await;
}

/// The other side did not look at it: <https://www.rfc-editor.org/rfc/rfc9110#status.408>.
#[rstest]
#[tokio::test]
async fn a_start_that_was_not_looked_at_is_sent_again_and_an_answer_is_not(
    #[values(408, 425)] status: u16,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let unheard = Fault::answer(status).with_header("retry-after", "0");
    app.intuned.script(Call::CreateStart, 1, &unheard);
    app.intuned.script(Call::CreateResume, 1, &unheard);
    let mut asked = app.asked(&user, "passcode").await;
    assert_eq!(app.intuned.calls(Call::CreateStart), 2);
    let answer = user.resume(&asked.id, &asked.request, PASSCODE).await;
    let code = &answer["errors"][0]["extensions"]["code"];
    assert_eq!(code, "UPSTREAM_ERROR", "{answer:#}");
    assert_eq!(app.intuned.calls(Call::CreateResume), 1);
    eventually("asked again", async || {
        user.operation(&asked.id).await["status"] == "REQUESTED_MORE_INFO"
    })
    .await;
    // As people paste it.
    let pasted = format!("\u{a0}{} {}\n", &PASSCODE[..3], &PASSCODE[3..]);
    user.resume(&asked.id, &asked.request, &pasted).await;
    assert_eq!(
        asked.socket.events().await.last().unwrap()["status"],
        "DONE"
    );
    app.finish().await;
}

#[rstest]
#[case::nothing("")]
#[case::blanks(" \u{3000}\u{200b}\t")]
#[tokio::test]
async fn a_passcode_of_blanks_is_empty(
    #[case] passcode: &str,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let asked = app.asked(&user, "passcode").await;
    let answer = user.resume(&asked.id, &asked.request, passcode).await;
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{answer:#}");
    assert!(error["message"].as_str().unwrap().contains("empty"));
    assert_eq!(app.intuned.calls(Call::CreateResume), 0);
    user.cancel(&asked.id).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_start_that_is_given_up_while_it_waits_is_not_sent(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let busy = Fault::answer(429).with_header("retry-after", "1");
    app.intuned.script(Call::CreateStart, 1, &busy);
    let operation = user.connect("Admin", "admin123").await;
    eventually("turned away", async || {
        app.intuned.calls(Call::CreateStart) == 1
    })
    .await;
    user.cancel(id(&operation)).await;
    // One that waits no shorter.
    let later = app.user("b@example.com").await;
    assert_eq!(end_of_admin(&app, &later).await["status"], "DONE");
    assert_eq!(app.intuned.calls(Call::CreateStart), 2);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn no_start_is_sent_while_intuned_asks_to_be_left_alone(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| config.operations.timeout = Duration::from_secs(1),
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let busy = Fault::answer(429).with_header("retry-after", "60");
    app.intuned.script(Call::CreateStart, 1, &busy);
    for email in ["a@example.com", "b@example.com"] {
        let user = app.user(email).await;
        let ended = end_of_admin(&app, &user).await;
        assert_eq!(ended["failure"]["code"], "UPSTREAM_ERROR", "{ended:#}");
        assert_eq!(ended["failure"]["retryable"], true);
    }
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);
    app.finish().await;
}

/// Each of these may have begun the sign-in, or not: it is never sent again, and what came of it is
/// found out by asking for the session.
#[rstest]
#[case::did_it_and_said_500(Fault::answer(500).after_work(), "DONE")]
#[case::did_it_and_said_502(Fault::answer(502).after_work(), "DONE")]
#[case::did_it_and_broke_off(Fault::drop().after_work(), "DONE")]
#[case::did_it_and_hung(Fault::hang().after_work(), "DONE")]
#[case::did_it_and_talked_nonsense(Fault::answer(201).with_body("<html>").after_work(), "DONE")]
#[case::said_503(Fault::answer(503), "FAILED")]
#[case::broke_off(Fault::drop(), "FAILED")]
#[case::hung(Fault::hang(), "FAILED")]
#[tokio::test]
async fn a_start_with_an_unknown_outcome_is_settled(
    #[case] fault: Fault,
    #[case] expected: &str,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| config.intuned.request_timeout = Duration::from_millis(500),
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    app.intuned.script(Call::CreateStart, 1, &fault);
    let ended = end_of_admin(&app, &user).await;
    assert_eq!(ended["status"], expected, "{ended:#}");
    if expected == "FAILED" {
        assert_eq!(ended["failure"]["code"], "UPSTREAM_ERROR");
        assert_eq!(ended["failure"]["retryable"], true);
    }
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_reconnect_with_an_unknown_outcome_is_not_settled_by_its_old_session(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    assert_eq!(end_of_admin(&app, &user).await["status"], "DONE");
    app.intuned
        .script(Call::CreateStart, 1, &Fault::answer(502));
    let ended = end_of_admin(&app, &user).await;
    assert_eq!(ended["kind"], "RECONNECT");
    assert_eq!(ended["failure"]["code"], "UPSTREAM_ERROR");
    assert_eq!(ended["failure"]["retryable"], true);
    let me = user
        .data("{ me { connection { status } } }", json!({}))
        .await;
    assert_eq!(me["me"]["connection"]["status"], "READY");
    app.finish().await;
}

#[rstest]
#[case::server_error(Fault::answer(500))]
#[case::html(Fault::answer(200).with_body("<html>Just a moment...</html>"))]
#[case::broken_off(Fault::drop())]
#[case::unauthorized(Fault::answer(401))]
#[case::unknown_status(Fault::answer(200).with_body(r#"{"status":"meditating"}"#))]
#[case::malformed(Fault::answer(200).with_body(r#"{"status":"requested_more_info"}"#))]
#[tokio::test]
async fn a_poll_that_fails_is_no_end(
    #[case] fault: Fault,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    app.intuned.script(Call::CreateResult, 2, &fault);
    let ended = end_of_admin(&app, &user).await;
    assert_eq!(ended["status"], "DONE", "{ended:#}");
    app.finish().await;
}

/// Users cannot mend it, so whoever runs the gateway must see it.
#[rstest]
#[tokio::test]
async fn a_key_that_intuned_refuses_is_told_to_the_operator(
    #[values(401, 403)] status: u16,
    #[values(Call::CreateStart, Call::CreateResult)] call: Call,
) {
    let log = Log::new();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let app = TestApp::start(Backend::Sqlite).await;
    let user = app.user("a@example.com").await;
    app.intuned.script(call, 1, &Fault::answer(status));
    end_of_admin(&app, &user).await;
    let text = log.text();
    let told = |line: &str| line.contains("ERROR") && line.contains("check INTUNED_API_KEY");
    assert!(text.lines().any(told), "{text}");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_sign_in_that_intuned_forgot_fails_after_three_looks(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    app.intuned
        .script(Call::CreateResult, 2, &Fault::answer(404));
    assert_eq!(end_of_admin(&app, &user).await["status"], "DONE");
    let before = app.intuned.calls(Call::CreateResult);
    app.intuned
        .script(Call::CreateResult, 9, &Fault::answer(404));
    let ended = end_of_admin(&app, &user).await;
    assert_eq!(ended["failure"]["code"], "UPSTREAM_ERROR");
    assert_eq!(app.intuned.calls(Call::CreateResult) - before, 3);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn time_runs_out(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let setup = Setup {
        configure: |config| config.operations.timeout = Duration::from_millis(700),
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("passcode", "admin123").await;
    let ended = end(&app, &user, &operation).await;
    assert_eq!(ended["failure"]["code"], "TIMED_OUT");
    assert_eq!(ended["failure"]["retryable"], true);
    assert_eq!(ended["infoRequest"], Value::Null);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn time_runs_out_during_a_poll_that_fails(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| config.operations.timeout = Duration::from_secs(1),
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    // What it asks for would be long after the operation's end.
    let late = Fault::answer(503).with_header("retry-after", "3600");
    let late = late.after(Duration::from_millis(1500));
    app.intuned.script(Call::CreateResult, 1, &late);
    let ended = end_of_admin(&app, &user).await;
    assert_eq!(ended["failure"]["code"], "TIMED_OUT");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_a_database_cannot_store_is_left_out(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let asks = r#"{"status":"requested_more_info","id":"q","details":{"requestType":"otp","action":"request_more_info","messageToUser":"Enter\u0000 the code"}}"#;
    app.intuned
        .script(Call::CreateResult, 999, &Fault::answer(200).with_body(asks));
    let operation = user.connect("Admin", "admin123").await;
    eventually("asked", async || {
        user.operation(id(&operation)).await["infoRequest"]["message"] == "Enter the code"
    })
    .await;
    user.cancel(id(&operation)).await;

    let key = json!({ "username": "Admin", "password": "admin123", "idempotencyKey": "a\u{0}b" });
    let refused = user.connect_with(key).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_answer_that_was_turned_away_can_be_sent_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let mut asked = app.asked(&user, "passcode").await;
    app.intuned
        .script(Call::CreateResume, 1, &Fault::answer(429));
    let refused = user.resume(&asked.id, &asked.request, "123456").await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "RATE_LIMITED");
    eventually("asked again", async || {
        user.operation(&asked.id).await["status"] == "REQUESTED_MORE_INFO"
    })
    .await;
    eventually("a second is over", async || {
        let answer = user.resume(&asked.id, &asked.request, "123456").await;
        answer.get("errors").is_none()
    })
    .await;
    let events = asked.socket.events().await;
    assert_eq!(events.last().unwrap()["status"], "DONE");
    assert_eq!(app.intuned.calls(Call::CreateResume), 2);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_answer_with_an_unknown_outcome_is_sent_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let mut asked = app.asked(&user, "passcode").await;
    let lost = Fault::answer(504).after_work();
    app.intuned.script(Call::CreateResume, 1, &lost);
    let answer = user.resume(&asked.id, &asked.request, "123456").await;
    assert_eq!(
        answer["data"]["resumeConnection"]["operation"]["status"],
        "IN_PROGRESS"
    );
    let events = asked.socket.events().await;
    assert_eq!(events.last().unwrap()["status"], "DONE");
    assert_eq!(app.intuned.calls(Call::CreateResume), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_a_canceled_attempt_made_is_deleted_at_intuned(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| config.operations.timeout = Duration::from_secs(1),
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    // Intuned makes the session although the gateway hears nothing of it.
    let start = Fault::hang().after_work();
    app.intuned.script(Call::CreateStart, 1, &start);
    let operation = user.connect("Admin", "admin123").await;
    eventually("begun", async || app.intuned.calls(Call::CreateStart) == 1).await;
    user.cancel(id(&operation)).await;
    let database = Database::connect(app.config.database_url.expose_secret())
        .await
        .unwrap();
    eventually("tidied up", async || {
        let left = session_removal::Entity::find()
            .count(&database)
            .await
            .unwrap();
        left == 0 && app.intuned.sessions().is_empty()
    })
    .await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_answer_that_took_too_long_to_write_down_is_not_sent(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| {
            config.operations.poll_schedule.answer_patience = Duration::from_secs(1);
        },
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    let asked = app.asked(&user, "passcode").await;
    let other = database::connect(&app.config.database_url, 1)
        .await
        .unwrap();
    let lock = database::begin(&other).await.unwrap();
    let locked = operation::Entity::find().lock_exclusive();
    locked.one(&lock).await.unwrap();
    let hold = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        lock.rollback().await.unwrap();
    };
    let resume = user.resume(&asked.id, &asked.request, PASSCODE);
    let (answer, ()) = tokio::join!(resume, hold);
    let code = &answer["errors"][0]["extensions"]["code"];
    assert_eq!(code, "INFO_REQUEST_STALE", "{answer:#}");
    let operation = user.operation(&asked.id).await;
    assert_eq!(operation["status"], "REQUESTED_MORE_INFO", "{operation:#}");
    assert_eq!(app.intuned.calls(Call::CreateResume), 0);
    user.cancel(&asked.id).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_start_that_waits_when_the_gateway_stops_ends_at_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut app = TestApp::start(backend).await;
    let mut user = app.user("a@example.com").await;
    let busy = Fault::answer(429).with_header("retry-after", "10");
    app.intuned.script(Call::CreateStart, 1, &busy);
    let operation = user.connect("Admin", "admin123").await;
    eventually("turned away", async || {
        app.intuned.calls(Call::CreateStart) == 1
    })
    .await;
    app.restart().await;
    user.url.clone_from(&app.api.url);
    let ended = user.operation(id(&operation)).await;
    assert_eq!(ended["status"], "FAILED", "{ended:#}");
    assert_eq!(ended["failure"]["code"], "INTERRUPTED");
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);
    app.finish().await;
}
