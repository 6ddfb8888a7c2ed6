//! The simulator, through the Intuned client: each demo account's path, in both generations.

use std::time::Duration;

use intuned_client::{
    ApiGeneration, AuthSessionStatus, CreateAuthSession, CreateResult, InfoRequest, IntunedClient,
    IntunedConfig, IntunedError, Question, RunError,
};
use intuned_simulator::{
    Call, Fault, PASSCODE,
    SimulatedGeneration::{self, One, Two},
    accounts,
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::intuned_support::{
    API_KEY, PROJECT, client, client_with, config, hasty_client, simulate,
};

const LONG: Duration = Duration::from_secs(30);

fn sign_in(id: &str, username: &str) -> CreateAuthSession {
    CreateAuthSession {
        id: id.to_owned(),
        username: username.into(),
        password: "admin123".into(),
        proxy: None,
    }
}

/// Looks at a sign-in until it wants something or has ended; answers all that was seen, each once.
async fn watch(client: &IntunedClient, operation: &str) -> Vec<CreateResult> {
    let mut seen = Vec::new();
    for _ in 0..50 {
        match client.create_result(operation).await {
            Ok(result) => {
                let goes_on = matches!(result, CreateResult::Pending | CreateResult::InProgress);
                if seen.last() != Some(&result) {
                    seen.push(result);
                }
                if !goes_on {
                    return seen;
                }
            }
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    panic!("no end: {seen:?}");
}

async fn outcome(client: &IntunedClient, operation: &str) -> CreateResult {
    watch(client, operation).await.pop().unwrap()
}

async fn question(client: &IntunedClient, operation: &str) -> InfoRequest {
    match outcome(client, operation).await {
        CreateResult::RequestedMoreInfo(request) => request,
        other => panic!("nothing was asked: {other:?}"),
    }
}

async fn connect(client: &IntunedClient, id: &str, username: &str) -> CreateResult {
    let operation = client.start_create(&sign_in(id, username)).await.unwrap();
    outcome(client, &operation).await
}

fn done(id: &str) -> CreateResult {
    CreateResult::Done {
        auth_session_id: id.to_owned(),
    }
}

#[rstest]
#[case(One, vec![CreateResult::Pending, done("s")])]
#[case(Two, vec![CreateResult::Pending, CreateResult::InProgress, done("s")])]
#[tokio::test]
async fn the_plain_account_connects(
    #[case] generation: SimulatedGeneration,
    #[case] expected: Vec<CreateResult>,
    #[values("Admin", "admin", "slow")] username: &str,
) {
    let (simulator, origin) = simulate(generation).await;
    let client = client(&origin);
    let operation = client.start_create(&sign_in("s", username)).await.unwrap();
    assert_eq!(watch(&client, &operation).await, expected);
    assert_eq!(simulator.calls(Call::CreateStart), 1);
    assert!(
        simulator.calls(Call::CreateResult) >= 3,
        "it takes some polls"
    );
    let status = client.auth_session_status("s").await;
    assert_eq!(status, Ok(Some(AuthSessionStatus::Ready)));
}

#[rstest]
#[case(One, None)]
#[case(Two, Some("auth"))]
#[tokio::test]
async fn what_is_rejected_fails_and_leaves_nothing(
    #[case] generation: SimulatedGeneration,
    #[case] category: Option<&str>,
    #[values(("rejected", "admin123"), ("Admin", "wrong"), ("nobody", ""))] account: (&str, &str),
) {
    let (simulator, origin) = simulate(generation).await;
    let client = client(&origin);
    let request = CreateAuthSession {
        password: account.1.into(),
        ..sign_in("s", account.0)
    };
    let operation = client.start_create(&request).await.unwrap();
    match outcome(&client, &operation).await {
        CreateResult::Failed(failure) => assert_eq!(failure.category.as_deref(), category),
        other => panic!("not failed: {other:?}"),
    }
    assert_eq!(client.auth_session_status("s").await, Ok(None));
    assert_eq!(simulator.sessions(), []);
}

#[tokio::test]
async fn the_passcode_account_asks_until_the_passcode_is_right() {
    let (simulator, origin) = simulate(One).await;
    let client = client(&origin);
    let operation = client
        .start_create(&sign_in("s", "passcode"))
        .await
        .unwrap();
    let first = question(&client, &operation).await;
    assert_eq!(first.question, Question::Otp);
    assert!(!first.message.is_empty());
    client
        .resume_create(&operation, &first.id, &"000000".into())
        .await
        .unwrap();
    let second = question(&client, &operation).await;
    assert_ne!(first.id, second.id);

    let stale = client
        .resume_create(&operation, &first.id, &PASSCODE.into())
        .await;
    assert_eq!(stale, Err(IntunedError::Conflict));

    client
        .resume_create(&operation, &second.id, &PASSCODE.into())
        .await
        .unwrap();
    assert_eq!(outcome(&client, &operation).await, done("s"));
    let late = client
        .resume_create(&operation, &second.id, &PASSCODE.into())
        .await;
    assert_eq!(late, Err(IntunedError::Conflict));
    assert_eq!(simulator.calls(Call::CreateResume), 4);
}

#[tokio::test]
async fn three_wrong_passcodes_fail() {
    let (_, origin) = simulate(One).await;
    let client = client(&origin);
    let operation = client
        .start_create(&sign_in("s", "passcode"))
        .await
        .unwrap();
    for _ in 0..3 {
        let asked = question(&client, &operation).await;
        client
            .resume_create(&operation, &asked.id, &"1".into())
            .await
            .unwrap();
    }
    let end = outcome(&client, &operation).await;
    assert!(matches!(end, CreateResult::Failed(_)), "{end:?}");
}

#[tokio::test]
async fn the_choice_account_asks_twice() {
    let (_, origin) = simulate(One).await;
    let client = client(&origin);
    let operation = client.start_create(&sign_in("s", "choice")).await.unwrap();
    let asked = question(&client, &operation).await;
    let Question::Choice(choices) = asked.question else {
        panic!("not a choice: {asked:?}");
    };
    assert_eq!(choices, ["Text message", "Email"]);
    client
        .resume_create(&operation, &asked.id, &"Email".into())
        .await
        .unwrap();
    let asked = question(&client, &operation).await;
    assert_eq!(asked.question, Question::Otp);
    client
        .resume_create(&operation, &asked.id, &PASSCODE.into())
        .await
        .unwrap();
    assert_eq!(outcome(&client, &operation).await, done("s"));
}

#[rstest]
#[tokio::test]
async fn generation_2_cannot_ask(#[values("passcode", "choice")] username: &str) {
    let (_, origin) = simulate(Two).await;
    let client = client(&origin);
    match connect(&client, "s", username).await {
        CreateResult::Failed(failure) => assert_eq!(failure.category.as_deref(), Some("user")),
        other => panic!("not failed: {other:?}"),
    }
    let resumed = client.resume_create("op", "ask-1", &PASSCODE.into()).await;
    assert_eq!(resumed, Err(IntunedError::NotFound));
}

#[rstest]
#[case(One, ApiGeneration::Auto)]
#[case(One, ApiGeneration::V0_3)]
#[case(Two, ApiGeneration::Auto)]
#[case(Two, ApiGeneration::V1)]
#[tokio::test]
async fn claims_are_read_while_the_session_lasts(
    #[case] generation: SimulatedGeneration,
    #[case] api: ApiGeneration,
) {
    let (simulator, origin) = simulate(generation).await;
    let client = client_with(config(&origin, api));
    assert_eq!(connect(&client, "s", "Admin").await, done("s"));
    let claims = client.run("get-claims", "s", LONG).await.unwrap();
    let claims: Value = serde_json::from_str(claims.as_str()).unwrap();
    let first = &claims.as_array().unwrap()[0];
    assert_eq!(first["referenceId"], json!("202611200000007"));
    assert_eq!(first["submittedDate"], json!("2026-11-20"));
    for field in ["eventName", "description", "currency", "status"] {
        assert!(first[field].is_string(), "{field}");
    }
    assert!(first["amount"].is_number());

    assert!(simulator.expire("s"));
    let status = client.auth_session_status("s").await;
    assert_eq!(status, Ok(Some(AuthSessionStatus::Expired)));
    let run = client.run("get-claims", "s", LONG).await;
    assert!(has_expired(&run), "{run:?}");

    assert_eq!(
        connect(&client, "s", "Admin").await,
        done("s"),
        "it is re-created"
    );
    client.run("get-claims", "s", LONG).await.unwrap();

    let run = client.run("get-secrets", "s", LONG).await;
    assert_eq!(run, Err(RunError::Intuned(IntunedError::NotFound)));
    client.delete_auth_session("s").await.unwrap();
    let run = client.run("get-claims", "s", LONG).await;
    assert!(has_expired(&run), "{run:?}");
}

fn has_expired<T>(run: &Result<T, RunError>) -> bool {
    matches!(run, Err(RunError::SessionExpired { .. }))
}

#[rstest]
#[tokio::test]
async fn the_expiring_account_connects_and_expires(
    #[values(One, Two)] generation: SimulatedGeneration,
) {
    let (_, origin) = simulate(generation).await;
    let client = client(&origin);
    assert_eq!(connect(&client, "s", "expires").await, done("s"));
    let status = client.auth_session_status("s").await;
    assert_eq!(status, Ok(Some(AuthSessionStatus::Expired)));
    let run = client.run("get-claims", "s", LONG).await;
    assert!(has_expired(&run), "{run:?}");
}

#[rstest]
#[tokio::test]
async fn the_flaky_account_gets_there(#[values(One, Two)] generation: SimulatedGeneration) {
    let (_, origin) = simulate(generation).await;
    let client = client(&origin);
    let operation = client.start_create(&sign_in("s", "flaky")).await.unwrap();
    let mut errors = Vec::new();
    for _ in 0..20 {
        if let Err(error) = client.create_result(&operation).await {
            errors.push(error);
        }
    }
    let pause = Some(Duration::ZERO);
    let expected = [
        IntunedError::Server {
            status: 502,
            retry_after: None,
        },
        IntunedError::RateLimited { retry_after: pause },
        IntunedError::Broken,
        IntunedError::Unreadable { reason: "no JSON" },
        IntunedError::Server {
            status: 503,
            retry_after: pause,
        },
        IntunedError::Server {
            status: 500,
            retry_after: None,
        },
    ];
    assert_eq!(errors, expected);
    assert_eq!(outcome(&client, &operation).await, done("s"));
    client.run("get-claims", "s", LONG).await.unwrap();
}

#[test]
fn every_account_is_listed_with_what_it_shows() {
    let names: Vec<_> = accounts().iter().map(|account| account.username).collect();
    let expected = [
        "Admin", "passcode", "choice", "slow", "expires", "flaky", "rejected",
    ];
    assert_eq!(names, expected);
    assert!(accounts().iter().all(|account| !account.shows.is_empty()));
}

#[tokio::test]
async fn whoever_asks_for_the_session_moves_its_sign_in_on() {
    let (_, origin) = simulate(One).await;
    let client = client(&origin);
    client.start_create(&sign_in("s", "Admin")).await.unwrap();
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(client.auth_session_status("s").await.unwrap().unwrap());
    }
    let expected = [
        AuthSessionStatus::Pending,
        AuthSessionStatus::Pending,
        AuthSessionStatus::Ready,
    ];
    assert_eq!(seen, expected);
}

#[rstest]
#[tokio::test]
async fn the_old_session_answers_while_it_is_created_again(
    #[values(One, Two)] generation: SimulatedGeneration,
) {
    let (_, origin) = simulate(generation).await;
    let client = client(&origin);
    connect(&client, "s", "Admin").await;
    let operation = client
        .start_create(&sign_in("s", "rejected"))
        .await
        .unwrap();
    let ready = Ok(Some(AuthSessionStatus::Ready));
    assert_eq!(client.auth_session_status("s").await, ready);
    let end = outcome(&client, &operation).await;
    assert!(matches!(end, CreateResult::Failed(_)), "{end:?}");
    assert_eq!(client.auth_session_status("s").await, ready);

    let earlier = client.start_create(&sign_in("s", "Admin")).await.unwrap();
    let later = client.start_create(&sign_in("s", "Admin")).await.unwrap();
    let end = outcome(&client, &earlier).await;
    assert!(
        matches!(end, CreateResult::Failed(_) | CreateResult::Canceled(_)),
        "{end:?}"
    );
    assert_eq!(outcome(&client, &later).await, done("s"));
}

#[tokio::test]
async fn a_deleted_session_is_unknown() {
    let (simulator, origin) = simulate(Two).await;
    let client = client(&origin);
    let operation = client.start_create(&sign_in("s", "Admin")).await.unwrap();
    client.delete_auth_session("s").await.unwrap();
    let end = outcome(&client, &operation).await;
    assert!(matches!(end, CreateResult::Canceled(_)), "{end:?}");
    assert_eq!(client.auth_session_status("s").await, Ok(None));
    client.delete_auth_session("s").await.unwrap();
    assert_eq!(simulator.calls(Call::Delete), 2);
}

#[rstest]
#[tokio::test]
async fn without_the_right_key_nothing_is_done(
    #[values(One, Two)] generation: SimulatedGeneration,
) {
    let (simulator, origin) = simulate(generation).await;
    let client = client_with(IntunedConfig {
        api_key: "wrong".into(),
        ..config(&origin, ApiGeneration::Auto)
    });
    let refused = IntunedError::Unauthorized;
    let started = client.start_create(&sign_in("s", "Admin")).await;
    assert_eq!(started, Err(refused.clone()));
    assert_eq!(client.create_result("op").await, Err(refused.clone()));
    assert_eq!(client.auth_session_status("s").await, Err(refused.clone()));
    assert_eq!(client.delete_auth_session("s").await, Err(refused.clone()));
    let run = client.run("get-claims", "s", LONG).await;
    assert_eq!(run, Err(RunError::NotBegun(refused)));
    assert_eq!(simulator.sessions(), []);
}

/// What a plain HTTP client hears.
async fn ask(origin: &str, verb: &str, rest: &str, body: &str) -> (u16, Value) {
    let answer = reqwest::Client::new()
        .request(verb.parse().unwrap(), format!("{origin}{PROJECT}/{rest}"))
        .header("x-api-key", API_KEY)
        .body(body.to_owned())
        .send()
        .await
        .unwrap();
    let status = answer.status().as_u16();
    (status, answer.json().await.unwrap_or(Value::Null))
}

#[rstest]
#[case::no_json("POST", "auth-sessions/create", "{", 400)]
#[case::bad_id(
    "POST",
    "auth-sessions/create",
    r#"{"id": "a/b", "parameters": {}}"#,
    400
)]
#[case::bad_parameters("POST", "auth-sessions/create", r#"{"parameters": 5}"#, 400)]
#[case::bad_proxy(
    "POST",
    "auth-sessions/create",
    r#"{"parameters": {}, "proxy": "x"}"#,
    400
)]
#[case::no_id("POST", "auth-sessions/create", r#"{"parameters": {}}"#, 201)]
#[case::unknown_operation("GET", "auth-sessions/create/op/result", "", 404)]
#[case::unknown_session("GET", "auth-sessions/s", "", 404)]
#[case::unknown_session_deleted("DELETE", "auth-sessions/s", "", 404)]
#[case::run_without_session("POST", "run/start", r#"{"api": "get-claims", "parameters": {}}"#, 400)]
#[case::run_without_parameters(
    "POST",
    "run/start",
    r#"{"api": "get-claims", "authSession": {"id": "s"}}"#,
    400
)]
#[case::unknown_run("GET", "run/r/result", "", 404)]
#[case::unknown_path("GET", "nothing/here", "", 404)]
#[tokio::test]
async fn requests_are_checked(
    #[case] verb: &str,
    #[case] rest: &str,
    #[case] body: &str,
    #[case] expected: u16,
    #[values(One, Two)] generation: SimulatedGeneration,
) {
    let (_, origin) = simulate(generation).await;
    let (status, body) = ask(&origin, verb, rest, body).await;
    assert_eq!(status, expected);
    assert_eq!(body["message"].is_string(), expected >= 400, "{body}");
}

#[rstest]
#[case::one_has_no_validate(One, "POST", "auth-sessions/s/validate/start", "{}", 404)]
#[case::one_needs_no_parameters(One, "POST", "auth-sessions/create", "{}", 201)]
#[case::two_does(Two, "POST", "auth-sessions/create", "{}", 400)]
#[case::two_has_no_resume(Two, "POST", "auth-sessions/create/op/resume", "{}", 404)]
#[case::two_has_no_sync_run(Two, "POST", "run", "{}", 404)]
#[case::resume_wants_snake_case(
    One,
    "POST",
    "auth-sessions/create/op/resume",
    r#"{"input": "1", "infoRequestId": "a"}"#,
    400
)]
#[tokio::test]
async fn the_generations_differ(
    #[case] generation: SimulatedGeneration,
    #[case] verb: &str,
    #[case] rest: &str,
    #[case] body: &str,
    #[case] expected: u16,
) {
    let (_, origin) = simulate(generation).await;
    assert_eq!(ask(&origin, verb, rest, body).await.0, expected);
}

#[tokio::test]
async fn a_session_can_be_listed_checked_and_updated() {
    let (simulator, origin) = simulate(Two).await;
    connect(&client(&origin), "s", "Admin").await;
    let (_, all) = ask(&origin, "GET", "auth-sessions", "").await;
    assert_eq!(
        all,
        json!([{"id": "s", "status": "READY", "type": "CREDENTIALS"}])
    );

    let update = r#"{"parameters": {"username": "Admin", "password": "admin123"}}"#;
    let steps = [
        ("validate", "validate/start", "{}"),
        ("update", "update", update),
    ];
    for (kind, start, body) in steps {
        let (status, started) =
            ask(&origin, "POST", &format!("auth-sessions/s/{start}"), body).await;
        assert_eq!(status, 201, "{started}");
        let id = started["operationId"].as_str().unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            let path = format!("auth-sessions/s/{kind}/{id}/result");
            seen.push(ask(&origin, "GET", &path, "").await.1["status"].clone());
        }
        assert_eq!(seen, ["pending", "in_progress", "done"]);
        let elsewhere = format!("auth-sessions/other/{kind}/{id}/result");
        assert_eq!(ask(&origin, "GET", &elsewhere, "").await.0, 404);
    }
    assert_eq!(simulator.calls(Call::UpdateResult), 4);
}

#[tokio::test]
async fn faults_come_as_scripted() {
    let (simulator, origin) = simulate(One).await;
    let client = client(&origin);
    let hasty = hasty_client(&origin);
    let request = sign_in("s", "Admin");
    let start = || client.start_create(&request);

    let fault = Fault::answer(429)
        .with_header("retry-after", "7")
        .with_body("slow down");
    simulator.script(Call::CreateStart, 2, &fault);
    simulator.script(Call::CreateStart, 1, &Fault::drop());
    simulator.script(Call::CreateStart, 1, &Fault::hang());
    let limited = IntunedError::RateLimited {
        retry_after: Some(Duration::from_secs(7)),
    };
    assert_eq!(start().await, Err(limited.clone()));
    assert_eq!(start().await, Err(limited));
    assert_eq!(start().await, Err(IntunedError::Broken));
    assert_eq!(
        hasty.start_create(&request).await,
        Err(IntunedError::TimedOut)
    );
    assert_eq!(simulator.sessions(), [], "nothing was done so far");

    let faults = [
        (&client, Fault::answer(502)),
        (&client, Fault::drop()),
        (&hasty, Fault::hang()),
    ];
    for (client, fault) in faults {
        simulator.script(Call::CreateStart, 1, &fault.after_work());
        client.start_create(&request).await.unwrap_err();
        assert_eq!(simulator.sessions().len(), 1, "it was done");
        // The other one was asked to leave Intuned alone.
        hasty.delete_auth_session("s").await.unwrap();
    }

    let fault = Fault::answer(200).with_body(r#"{"status": "brand_new"}"#);
    simulator.script(Call::CreateResult, 1, &fault);
    simulator.script(
        Call::CreateResult,
        1,
        &Fault::delay(Duration::from_millis(1)),
    );
    let operation = start().await.unwrap();
    let unknown = CreateResult::Unknown {
        status: "brand_new".to_owned(),
    };
    assert_eq!(client.create_result(&operation).await, Ok(unknown));
    assert_eq!(
        client.create_result(&operation).await,
        Ok(CreateResult::Pending)
    );
    assert_eq!(simulator.calls(Call::CreateStart), 8);
    assert_eq!(simulator.calls(Call::CreateResult), 2);
}

#[tokio::test]
async fn the_key_is_not_shown() {
    let (simulator, origin) = simulate(One).await;
    connect(&client(&origin), "s", "Admin").await;
    assert!(!format!("{simulator:?}").contains(API_KEY));
}
