//! Runs through the Intuned client: how they begin, are watched, and end.

use std::time::Duration;

use intuned_client::{
    ApiGeneration, IntunedClient, IntunedError, RunError, RunFailure, RunFailureKind,
};
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockBuilder, MockServer, ResponseTemplate,
    matchers::{any, body_json, header, method, path},
};

use crate::intuned_support::{API_KEY, PROJECT, client, client_with, config, nobody};

const LONG: Duration = Duration::from_secs(30);

/// Runs `get-claims` to its end; what it brought is told as text.
pub(crate) async fn run(client: &IntunedClient) -> Result<String, RunError> {
    run_within(client, LONG).await
}

pub(crate) async fn run_within(client: &IntunedClient, time: Duration) -> Result<String, RunError> {
    let result = client.run("get-claims", "s", time).await?;
    Ok(result.as_str().to_owned())
}

pub(crate) fn call(verb: &str, rest: &str) -> MockBuilder {
    Mock::given(method(verb))
        .and(path(format!("{PROJECT}/{rest}")))
        .and(header("x-api-key", API_KEY))
}

pub(crate) fn answer(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(body)
}

/// A server that starts a run named `r`, whose results come in this order; the last one stays.
pub(crate) async fn running(results: &[ResponseTemplate]) -> MockServer {
    let server = MockServer::start().await;
    call("POST", "run/start")
        .respond_with(answer(201, &json!({"status": "pending", "runId": "r"})))
        .expect(1)
        .mount(&server)
        .await;
    let (last, first) = results.split_last().unwrap();
    for result in first {
        call("GET", "run/r/result")
            .respond_with(result.clone())
            .up_to_n_times(1)
            .mount(&server)
            .await;
    }
    call("GET", "run/r/result")
        .respond_with(last.clone())
        .mount(&server)
        .await;
    server
}

async fn session_is(server: &MockServer, status: u16, body: &Value) {
    call("GET", "auth-sessions/s")
        .respond_with(answer(status, body))
        .mount(server)
        .await;
}

#[rstest]
#[case::auto(ApiGeneration::Auto)]
#[case::v1(ApiGeneration::V1)]
#[tokio::test]
async fn a_run_is_started_and_watched(#[case] api: ApiGeneration) {
    let claims = json!([{"referenceId": "1"}]);
    let server = MockServer::start().await;
    call("POST", "run/start")
        .and(body_json(json!({
            "api": "get-claims", "parameters": {}, "retry": {"maximumAttempts": 2},
            "authSession": {"id": "s"}, "saveTrace": false,
        })))
        .respond_with(answer(201, &json!({"status": "pending", "runId": "r"})))
        .expect(1)
        .mount(&server)
        .await;
    for status in ["pending", "started", "brand_new"] {
        call("GET", "run/r/result")
            .respond_with(answer(200, &json!({"status": status, "runId": "r"})))
            .up_to_n_times(1)
            .expect(1)
            .mount(&server)
            .await;
    }
    call("GET", "run/r/result")
        .respond_with(answer(
            200,
            &json!({"status": "completed", "runId": "r", "result": claims, "statusCode": 200}),
        ))
        .expect(1)
        .mount(&server)
        .await;
    let client = client_with(config(&server.uri(), api));
    assert_eq!(run(&client).await, Ok(claims.to_string()));
}

#[tokio::test]
async fn generation_1_runs_in_one_request() {
    let claims = json!({"claims": []});
    let server = MockServer::start().await;
    call("POST", "run")
        .and(body_json(json!({
            "api": "get-claims", "parameters": {}, "retry": {"maximumAttempts": 2},
            "authSession": {"id": "s"},
        })))
        .respond_with(answer(
            200,
            &json!({"status": "completed", "runId": "r", "result": claims, "statusCode": 200}),
        ))
        .expect(1)
        .mount(&server)
        .await;
    let client = client_with(config(&server.uri(), ApiGeneration::V0_3));
    assert_eq!(run(&client).await, Ok(claims.to_string()));
}

#[rstest]
#[case::absent(json!({"status": "completed", "runId": "r"}), Ok(Value::Null))]
#[case::null(json!({"status": "completed", "result": null}), Ok(Value::Null))]
#[case::text(json!({"status": "completed", "result": "x"}), Ok(json!("x")))]
#[case::failed_g1(
    json!({"status": "failed", "runId": "r", "error": "RunError", "message": "m", "statusCode": 500}),
    ended(RunFailureKind::Upstream, true, None)
)]
#[case::failed_g2(
    json!({"status": "failed", "runId": "r", "error": {"message": "m", "category": "execution"}}),
    ended(RunFailureKind::ApiFailed, false, None)
)]
#[case::failed_g2_for_now(
    json!({"status": "failed", "error": {"category": "execution", "retirable": true, "correlation_id": "c-1"}}),
    ended(RunFailureKind::ApiFailed, true, Some("c-1"))
)]
#[case::failed_bare(json!({"status": "failed"}), ended(RunFailureKind::Upstream, true, None))]
#[case::too_large(
    json!({"status": "failed", "error": {"category": "execution", "code": "result-too-big-error"}}),
    ended(RunFailureKind::ResultTooLarge, false, None)
)]
#[case::canceled(
    json!({"status": "canceled", "runId": "r", "reason": {"type": "terminated", "message": "m"}}),
    ended(RunFailureKind::Canceled, false, None)
)]
#[case::canceled_without_access(
    json!({"status": "canceled", "reason": {"type": "api-access-disabled", "correlation_id": "c-1"}}),
    ended(RunFailureKind::NotAllowed, false, Some("c-1"))
)]
#[case::canceled_bare(json!({"status": "canceled"}), ended(RunFailureKind::Canceled, false, None))]
#[tokio::test]
async fn the_end_of_a_run_is_read(
    #[case] body: Value,
    #[case] expected: Result<Value, RunError>,
    #[values(ApiGeneration::Auto, ApiGeneration::V0_3)] api: ApiGeneration,
) {
    let server = MockServer::start().await;
    call("POST", "run/start")
        .respond_with(answer(201, &json!({"status": "pending", "runId": "r"})))
        .mount(&server)
        .await;
    for (verb, rest) in [("POST", "run"), ("GET", "run/r/result")] {
        call(verb, rest)
            .respond_with(answer(200, &body))
            .mount(&server)
            .await;
    }
    let client = client_with(config(&server.uri(), api));
    let expected = expected.map(|result| result.to_string());
    assert_eq!(run(&client).await, expected);
}

fn ended(
    kind: RunFailureKind,
    retryable: bool,
    reference: Option<&str>,
) -> Result<Value, RunError> {
    Err(RunError::Ended(RunFailure {
        kind,
        retryable,
        reference: reference.map(ToOwned::to_owned),
    }))
}

fn expired() -> RunError {
    RunError::SessionExpired { reference: None }
}

/// A run's own word that its session is no good needs no other: what Intuned says of the session may be of
/// before.
#[rstest]
#[case::category(
    json!({"status": "failed", "error": {"category": "auth", "code": "auth-check-failed", "correlation_id": "c-1"}})
)]
#[case::validation(
    json!({"status": "canceled", "reason": {"type": "auth-session-validate-dependency-failed", "correlation_id": "c-1"}})
)]
#[case::gone(
    json!({"status": "canceled", "reason": {"type": "auth-session-not-found", "correlation_id": "c-1"}})
)]
#[case::in_the_middle(
    json!({"status": "canceled", "reason": {"type": "auth-session-invalid-mid-job", "correlation_id": "c-1"}})
)]
#[tokio::test]
async fn a_run_that_ends_because_of_its_session_has_expired_although_intuned_calls_it_ready(
    #[case] body: Value,
) {
    let server = running(&[answer(200, &body)]).await;
    session_is(&server, 200, &json!({"id": "s", "status": "READY"})).await;
    let ended = run(&client(&server.uri())).await;
    let reference = Some("c-1".to_owned());
    assert_eq!(ended, Err(RunError::SessionExpired { reference }));
}

#[tokio::test]
async fn the_result_of_another_run_counts_for_nothing() {
    let other = answer(
        200,
        &json!({"status": "completed", "runId": "theirs", "result": "theirs"}),
    );
    let own = answer(
        200,
        &json!({"status": "completed", "runId": "r", "result": "own"}),
    );
    let server = running(&[other.clone(), own]).await;
    let result = client(&server.uri()).run("get-claims", "s", LONG).await;
    assert_eq!(result.unwrap().as_str(), r#""own""#);

    let server = running(&[other]).await;
    let ended = client(&server.uri()).run("get-claims", "s", LONG).await;
    let reason = "of another run";
    let error = IntunedError::Unreadable { reason };
    assert_eq!(ended, Err(RunError::Intuned(error)));
}

/// One of two who are told the same id would see what the other's run brings.
#[tokio::test]
async fn a_run_that_is_called_what_another_under_way_is_called_counts_for_nothing() {
    let server = MockServer::start().await;
    call("POST", "run/start")
        .respond_with(answer(201, &json!({"status": "pending", "runId": "r"})))
        .mount(&server)
        .await;
    call("GET", "run/r/result")
        .respond_with(answer(200, &json!({"status": "started", "runId": "r"})))
        .mount(&server)
        .await;
    let client = client(&server.uri());
    let first = client.run("get-claims", "s", LONG);
    let second = async {
        while server.received_requests().await.unwrap().len() < 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        client.run("get-claims", "t", LONG).await
    };
    tokio::select! {
        ended = first => panic!("{ended:?}"),
        ended = second => {
            let reason = "the id of another run";
            let error = IntunedError::Unreadable { reason };
            assert_eq!(ended, Err(RunError::Intuned(error)));
        }
    }
}

/// How the answer of a run may say that the session, or the key, was refused.
fn refusals() -> Vec<(&'static str, ResponseTemplate, RunError)> {
    let unauthorized = RunError::Intuned(IntunedError::Unauthorized);
    let g1 =
        json!({"status": "failed", "runId": "r", "error": "e", "message": "m", "statusCode": 401});
    vec![
        (
            "HTTP 401",
            answer(401, &json!({"message": "m"})),
            unauthorized,
        ),
        (
            "statusCode 401",
            answer(200, &g1),
            self::ended(RunFailureKind::Upstream, true, None).unwrap_err(),
        ),
    ]
}

#[rstest]
#[case::expired(200, json!({"id": "s", "status": "EXPIRED"}), Some(expired()))]
#[case::unknown(404, json!({}), Some(expired()))]
#[case::wrong_key(401, json!({}), Some(RunError::Intuned(IntunedError::Unauthorized)))]
#[case::ready(200, json!({"id": "s", "status": "READY"}), None)]
#[case::pending(200, json!({"id": "s", "status": "PENDING"}), None)]
#[tokio::test]
async fn the_session_says_whether_it_was_refused(
    #[case] status: u16,
    #[case] session: Value,
    #[case] expected: Option<RunError>,
) {
    for (name, refusal, otherwise) in refusals() {
        let expected = expected.clone().unwrap_or(otherwise);

        let server = running(std::slice::from_ref(&refusal)).await;
        session_is(&server, status, &session).await;
        let ended = run(&client(&server.uri())).await;
        assert_eq!(ended, Err(expected.clone()), "{name} from run.result");

        let server = MockServer::start().await;
        call("POST", "run")
            .respond_with(refusal)
            .mount(&server)
            .await;
        session_is(&server, status, &session).await;
        let client = client_with(config(&server.uri(), ApiGeneration::V0_3));
        let ended = run(&client).await;
        // By this answer it has not begun.
        let expected = match expected {
            RunError::Intuned(error) if name == "HTTP 401" => RunError::NotBegun(error),
            expected => expected,
        };
        assert_eq!(ended, Err(expected), "{name} from run.sync");
    }
}

#[rstest]
#[case::session_expired(401, 200, json!({"status": "EXPIRED"}), expired())]
#[case::session_gone(404, 404, json!({}), expired())]
#[case::api_unknown(404, 200, json!({"status": "READY"}), RunError::Intuned(IntunedError::NotFound))]
#[case::wrong_key(401, 401, json!({}), RunError::NotBegun(IntunedError::Unauthorized))]
#[tokio::test]
async fn a_start_that_is_refused_is_settled_too(
    #[case] refusal: u16,
    #[case] status: u16,
    #[case] session: Value,
    #[case] expected: RunError,
) {
    let server = MockServer::start().await;
    call("POST", "run/start")
        .respond_with(answer(refusal, &json!({})))
        .mount(&server)
        .await;
    session_is(&server, status, &session).await;
    let ended = run(&client(&server.uri())).await;
    assert_eq!(ended, Err(expected));
}

#[tokio::test]
async fn faults_of_the_result_are_waited_out() {
    let done = json!({"status": "completed", "result": [1]});
    let server = running(&[
        ResponseTemplate::new(502),
        ResponseTemplate::new(200).set_body_string("<html>"),
        answer(200, &done),
    ])
    .await;
    let ended = run(&client(&server.uri())).await;
    assert_eq!(ended, Ok("[1]".into()));
}

#[tokio::test]
async fn a_hold_is_waited_out() {
    let done = json!({"status": "completed", "result": [1]});
    let held = ResponseTemplate::new(429).insert_header("retry-after", "1");
    let server = running(&[held, answer(200, &done)]).await;
    let client = client(&server.uri());
    assert_eq!(run(&client).await, Ok("[1]".into()));
    assert_eq!(client.held_until(), None);
}

#[tokio::test]
async fn a_start_that_may_have_been_acted_on_is_not_repeated() {
    let server = MockServer::start().await;
    call("POST", "run/start")
        .respond_with(ResponseTemplate::new(502))
        .expect(1)
        .mount(&server)
        .await;
    let ended = run(&client(&server.uri())).await;
    let fault = IntunedError::Server {
        status: 502,
        retry_after: None,
    };
    assert_eq!(ended, Err(RunError::Intuned(fault)));
}

#[rstest]
#[case::auto(ApiGeneration::Auto)]
#[case::v0_3(ApiGeneration::V0_3)]
#[tokio::test]
async fn a_run_that_is_turned_away_is_refused_at_once_and_so_is_the_next(
    #[case] api: ApiGeneration,
    #[values(None, Some(20))] retry_after: Option<u64>,
) {
    let server = MockServer::start().await;
    let mut busy = ResponseTemplate::new(429);
    if let Some(seconds) = retry_after {
        busy = busy.insert_header("retry-after", seconds.to_string());
    }
    Mock::given(any())
        .respond_with(busy)
        .expect(1)
        .mount(&server)
        .await;
    let client = client_with(config(&server.uri(), api));
    let first = client.run("get-claims", "s", LONG).await;
    let retry_after = retry_after.map(Duration::from_secs);
    let turned_away = IntunedError::RateLimited { retry_after };
    assert_eq!(first, Err(RunError::NotBegun(turned_away)));
    let next = client.run("get-claims", "s", LONG).await;
    let Err(RunError::NotBegun(IntunedError::RateLimited { retry_after: left })) = next else {
        panic!("{next:?}");
    };
    assert!(left <= retry_after.or(Some(Duration::from_secs(1))));
    assert!(left > Some(Duration::ZERO));
    assert_eq!(client.held_until(), None);
}

#[tokio::test]
async fn a_run_that_cannot_reach_intuned_has_not_begun() {
    let client = client(&nobody().await);
    let ended = client.run("get-claims", "s", Duration::from_secs(1)).await;
    assert_eq!(ended, Err(RunError::NotBegun(IntunedError::Unreachable)));
}

#[tokio::test]
async fn whose_session_is_asked_for_in_a_hold_waits_only_for_a_run_that_has_begun() {
    let busy = ResponseTemplate::new(429).insert_header("retry-after", "1");
    for begun in [true, false] {
        let refusal = answer(401, &json!({}));
        let server = if begun {
            running(&[refusal]).await
        } else {
            let server = MockServer::start().await;
            call("POST", "run/start")
                .respond_with(refusal)
                .mount(&server)
                .await;
            server
        };
        call("GET", "auth-sessions/s")
            .respond_with(busy.clone())
            .up_to_n_times(1)
            .mount(&server)
            .await;
        session_is(&server, 200, &json!({"status": "EXPIRED"})).await;
        let ended = client(&server.uri()).run("get-claims", "s", LONG).await;
        let turned_away = IntunedError::RateLimited {
            retry_after: Some(Duration::from_secs(1)),
        };
        let expected = if begun {
            RunError::SessionExpired { reference: None }
        } else {
            RunError::NotBegun(turned_away)
        };
        assert_eq!(ended, Err(expected));
    }
}

#[rstest]
#[case::auto(ApiGeneration::Auto)]
#[case::v0_3(ApiGeneration::V0_3)]
#[tokio::test]
async fn a_run_that_takes_too_long_is_given_up(#[case] api: ApiGeneration) {
    let server = MockServer::start().await;
    call("POST", "run/start")
        .respond_with(answer(201, &json!({"status": "pending", "runId": "r"})))
        .mount(&server)
        .await;
    call("GET", "run/r/result")
        .respond_with(answer(200, &json!({"status": "started", "runId": "r"})))
        .mount(&server)
        .await;
    call("POST", "run")
        .respond_with(ResponseTemplate::new(200).set_delay(LONG))
        .mount(&server)
        .await;
    let client = client_with(config(&server.uri(), api));
    let ended = client
        .run("get-claims", "s", Duration::from_millis(300))
        .await;
    assert_eq!(ended, Err(RunError::TimedOut));
}
