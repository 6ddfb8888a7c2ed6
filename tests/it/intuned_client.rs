//! The calls of the Intuned client, and the answers of both generations to them.

use intuned_client::{
    ApiGeneration, AuthSessionStatus, CreateAuthSession, CreateResult, InfoRequest, IntunedConfig,
    IntunedError, Question, UpstreamFailure,
};
use rstest::rstest;
use serde_json::{Value, json};
use wiremock::{
    Mock, MockServer, ResponseTemplate,
    matchers::{any, body_json, header, method, path},
};

use crate::intuned_support::{
    API_KEY, PASSCODE, PASSWORD, PROJECT, PROXY, USERNAME, client, client_with, config, request,
};

/// A server that gives every request this answer.
async fn answering(status: u16, body: &Value) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(status).set_body_json(body))
        .mount(&server)
        .await;
    server
}

#[rstest]
#[case::auto(ApiGeneration::Auto, None, json!({"saveTrace": false, "createAttempts": 1}))]
#[case::v1(ApiGeneration::V1, Some(PROXY), json!({"saveTrace": false, "createAttempts": 1, "proxy": PROXY}))]
#[case::v0_3(ApiGeneration::V0_3, None, json!({}))]
#[case::v0_3_with_proxy(ApiGeneration::V0_3, Some(PROXY), json!({"proxy": PROXY}))]
#[tokio::test]
async fn create_start_sends_what_the_generation_takes(
    #[case] api: ApiGeneration,
    #[case] proxy: Option<&str>,
    #[case] more: Value,
) {
    let mut body = json!({
        "id": "chosen",
        "parameters": {"username": USERNAME, "password": PASSWORD},
    });
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("{PROJECT}/auth-sessions/create")))
        .and(header("x-api-key", API_KEY))
        .and(header("content-type", "application/json"))
        .and(body_json(body))
        .respond_with(
            ResponseTemplate::new(201)
                .set_body_json(json!({"status": "started", "operationId": "op"})),
        )
        .expect(1)
        .mount(&server)
        .await;
    let request = CreateAuthSession {
        proxy: proxy.map(Into::into),
        ..request()
    };
    let started = client_with(config(&server.uri(), api))
        .start_create(&request)
        .await;
    assert_eq!(started, Ok("op".to_owned()));
}

#[rstest]
#[case::created(201, json!({"status": "started", "operationId": "op"}), Ok("op"))]
#[case::only_ok(200, json!({"operationId": "op", "more": [1]}), Ok("op"))]
#[case::no_id(201, json!({"status": "started"}), Err("no operation id"))]
#[case::empty_id(201, json!({"status": "started", "operationId": ""}), Err("no operation id"))]
#[case::id_that_escapes(201, json!({"operationId": ".."}), Err("no operation id"))]
#[case::id_that_is_a_number(201, json!({"operationId": 7}), Err("no operation id"))]
#[case::array(201, json!([]), Err("no operation id"))]
#[tokio::test]
async fn create_start_wants_an_operation_id(
    #[case] status: u16,
    #[case] body: Value,
    #[case] expected: Result<&str, &'static str>,
) {
    let server = answering(status, &body).await;
    let started = client(&server.uri()).start_create(&request()).await;
    let expected = expected
        .map(ToOwned::to_owned)
        .map_err(|reason| IntunedError::Unreadable { reason });
    assert_eq!(started, expected);
}

fn failure(
    code: Option<&str>,
    category: Option<&str>,
    retryable: Option<bool>,
    message: &str,
) -> UpstreamFailure {
    UpstreamFailure {
        code: code.map(ToOwned::to_owned),
        category: category.map(ToOwned::to_owned),
        retryable,
        reference: None,
        message: message.to_owned(),
    }
}

fn asked(message: &str, question: Question) -> CreateResult {
    CreateResult::RequestedMoreInfo(InfoRequest {
        id: "ask-1".to_owned(),
        message: message.to_owned(),
        question,
    })
}

fn unknown(status: &str) -> CreateResult {
    CreateResult::Unknown {
        status: status.to_owned(),
    }
}

#[rstest]
#[case::pending(json!({"status": "pending"}), CreateResult::Pending)]
#[case::pending_and_more(json!({"status": "pending", "new": {"a": 1}}), CreateResult::Pending)]
#[case::in_progress(json!({"status": "in_progress", "runId": "r"}), CreateResult::InProgress)]
#[case::otp(
    json!({"status": "requested_more_info", "id": "ask-1", "details":
        {"requestType": "otp", "action": "request_more_info", "messageToUser": "The code?"}}),
    asked("The code?", Question::Otp)
)]
#[case::otp_without_message(
    json!({"status": "requested_more_info", "id": "ask-1", "details": {"requestType": "otp"}}),
    asked("", Question::Otp)
)]
#[case::choice(
    json!({"status": "requested_more_info", "id": "ask-1", "details":
        {"requestType": "multiple_choice", "action": "request_more_info", "messageToUser": "How?",
         "choices": ["Text", "Email"]}}),
    asked("How?", Question::Choice(vec!["Text".to_owned(), "Email".to_owned()]))
)]
#[case::done(
    json!({"status": "done", "authSessionId": "s"}),
    CreateResult::Done { auth_session_id: "s".to_owned() }
)]
#[case::failed_g1(
    json!({"status": "failed", "error": "AuthFailed", "message": "no"}),
    CreateResult::Failed(failure(Some("AuthFailed"), None, None, "no"))
)]
#[case::failed_g2(
    json!({"status": "failed", "message": "no", "error": {"message": "inner", "category": "auth",
        "code": "auth-check-failed", "retirable": false, "doc_url": "u", "correlation_id": "c"}}),
    CreateResult::Failed(UpstreamFailure {
        reference: Some("c".to_owned()),
        ..failure(Some("auth-check-failed"), Some("auth"), Some(false), "no")
    })
)]
#[case::failed_g2_sparse(
    json!({"status": "failed", "error": {"message": "inner", "category": "brand-new"}}),
    CreateResult::Failed(failure(None, Some("brand-new"), None, "inner"))
)]
#[case::failed_with_odd_fields(
    json!({"status": "failed", "error": [1], "message": {"a": 1}, "statusCode": "x"}),
    CreateResult::Failed(failure(None, None, None, ""))
)]
#[case::failed_with_odd_error_fields(
    json!({"status": "failed", "error": {"code": 5, "category": "user", "retirable": "no"}}),
    CreateResult::Failed(failure(None, Some("user"), None, ""))
)]
#[case::canceled(
    json!({"status": "canceled", "message": "stopped",
        "reason": {"type": "terminated", "message": "by hand", "details": null}}),
    CreateResult::Canceled(failure(Some("terminated"), None, None, "stopped"))
)]
#[case::canceled_bare(
    json!({"status": "canceled"}),
    CreateResult::Canceled(failure(None, None, None, ""))
)]
#[case::unknown(json!({"status": "paused"}), unknown("paused"))]
#[case::unknown_is_cut_and_cleaned(
    json!({"status": format!("a\r\nb{}", "c".repeat(100))}),
    unknown(&format!("ab{}", "c".repeat(62)))
)]
#[case::done_without_id(json!({"status": "done"}), unknown("done"))]
#[case::done_with_id_that_escapes(json!({"status": "done", "authSessionId": ".."}), unknown("done"))]
#[case::asked_for_the_unknown(
    json!({"status": "requested_more_info", "id": "ask-1", "details": {"requestType": "captcha"}}),
    unknown("requested_more_info")
)]
#[case::asked_without_details(
    json!({"status": "requested_more_info", "id": "ask-1"}),
    unknown("requested_more_info")
)]
#[case::asked_without_id(
    json!({"status": "requested_more_info", "details": {"requestType": "otp"}}),
    unknown("requested_more_info")
)]
#[case::choice_of_nothing(
    json!({"status": "requested_more_info", "id": "ask-1", "details":
        {"requestType": "multiple_choice", "choices": []}}),
    unknown("requested_more_info")
)]
#[case::choice_of_numbers(
    json!({"status": "requested_more_info", "id": "ask-1", "details":
        {"requestType": "multiple_choice", "choices": [1, 2]}}),
    unknown("requested_more_info")
)]
#[tokio::test]
async fn create_result_reads_both_generations(
    #[case] body: Value,
    #[case] expected: CreateResult,
    // Behind a space it is not read at once.
    #[values("", " ")] space: &str,
) {
    let server = MockServer::start().await;
    let body = format!("{space}{body}");
    Mock::given(method("GET"))
        .and(path(format!("{PROJECT}/auth-sessions/create/op/result")))
        .and(header("x-api-key", API_KEY))
        .respond_with(ResponseTemplate::new(200).set_body_raw(body, "application/json"))
        .expect(1)
        .mount(&server)
        .await;
    let result = client(&server.uri()).create_result("op").await;
    assert_eq!(result, Ok(expected));
}

#[rstest]
#[case(json!({"status": 5}))]
#[case(json!({}))]
#[case(json!([{"status": "pending"}]))]
#[case(json!(["pending"]))]
#[case(json!("pending"))]
#[case(json!(null))]
#[tokio::test]
async fn create_result_without_status_is_unreadable(#[case] body: Value) {
    let server = answering(200, &body).await;
    let result = client(&server.uri()).create_result("op").await;
    let reason = "no status";
    assert_eq!(result, Err(IntunedError::Unreadable { reason }));
}

#[tokio::test]
async fn resume_names_the_info_request_in_snake_case() {
    let server = MockServer::start().await;
    Mock::given(method("POST"))
        .and(path(format!("{PROJECT}/auth-sessions/create/op/resume")))
        .and(header("x-api-key", API_KEY))
        .and(body_json(
            json!({"input": PASSCODE, "info_request_id": "ask-1"}),
        ))
        .respond_with(ResponseTemplate::new(202).set_body_json(json!({"status": "resumed"})))
        .expect(1)
        .mount(&server)
        .await;
    let resumed = client(&server.uri())
        .resume_create("op", "ask-1", &PASSCODE.into())
        .await;
    assert_eq!(resumed, Ok(()));
}

#[rstest]
#[case::pending(json!({"id": "s", "status": "PENDING"}), Ok(Some(AuthSessionStatus::Pending)))]
#[case::ready(json!({"id": "s", "status": "READY"}), Ok(Some(AuthSessionStatus::Ready)))]
#[case::expired(
    json!({"id": "s", "status": "EXPIRED", "type": "CREDENTIALS"}),
    Ok(Some(AuthSessionStatus::Expired))
)]
#[case::of_another(
    json!({"id": "t", "status": "READY"}),
    Err(IntunedError::Unreadable { reason: "of another session" })
)]
#[case::of_nobody(json!({"status": "READY"}), Ok(Some(AuthSessionStatus::Ready)))]
#[case::unknown(
    json!({"id": "s", "status": "ASLEEP"}),
    Err(IntunedError::Unreadable { reason: "no known session status" })
)]
#[case::none(
    json!({"id": "s"}),
    Err(IntunedError::Unreadable { reason: "no known session status" })
)]
#[tokio::test]
async fn one_tells_the_status(
    #[case] body: Value,
    #[case] expected: Result<Option<AuthSessionStatus>, IntunedError>,
) {
    let server = MockServer::start().await;
    Mock::given(method("GET"))
        .and(path(format!("{PROJECT}/auth-sessions/s")))
        .and(header("x-api-key", API_KEY))
        .respond_with(ResponseTemplate::new(200).set_body_json(body))
        .expect(1)
        .mount(&server)
        .await;
    assert_eq!(
        client(&server.uri()).auth_session_status("s").await,
        expected
    );
}

#[tokio::test]
async fn one_of_an_unknown_session_is_none() {
    let server = answering(404, &json!({"message": "no such session"})).await;
    assert_eq!(
        client(&server.uri()).auth_session_status("s").await,
        Ok(None)
    );
}

#[rstest]
#[case::deleted(204, Ok(()))]
#[case::gone_already(404, Ok(()))]
#[case::wrong_key(401, Err(IntunedError::Unauthorized))]
#[case::fault(502, Err(IntunedError::Server { status: 502, retry_after: None }))]
#[tokio::test]
async fn delete_is_safe_to_repeat(#[case] status: u16, #[case] expected: Result<(), IntunedError>) {
    let server = MockServer::start().await;
    Mock::given(method("DELETE"))
        .and(path(format!("{PROJECT}/auth-sessions/s")))
        .and(header("x-api-key", API_KEY))
        .respond_with(ResponseTemplate::new(status))
        .expect(1)
        .mount(&server)
        .await;
    assert_eq!(
        client(&server.uri()).delete_auth_session("s").await,
        expected
    );
}

#[rstest]
#[case::slash("a/b", "a%2Fb")]
#[case::query("a?b#c", "a%3Fb%23c")]
#[case::percent("%2e%2e", "%252e%252e")]
#[case::backslash("..\\x", "..%5Cx")]
#[case::space_and_umlaut("a \u{fc}", "a%20%C3%BC")]
#[tokio::test]
async fn path_segments_are_encoded(#[case] id: &str, #[case] segment: &str) {
    let server = answering(200, &json!({"id": id, "status": "READY"})).await;
    let client = client_with(IntunedConfig {
        workspace_id: id.to_owned(),
        project_name: id.to_owned(),
        ..config(&server.uri(), ApiGeneration::Auto)
    });
    client.auth_session_status(id).await.unwrap();
    let requests = server.received_requests().await.unwrap();
    assert_eq!(
        requests[0].url.path(),
        format!("/api/v1/workspace/{segment}/projects/{segment}/auth-sessions/{segment}")
    );
    assert_eq!(requests[0].url.query(), None);
}

#[rstest]
#[case::empty("")]
#[case::dot(".")]
#[case::dots("..")]
#[case::dots_with_a_tab(".\t.")]
#[case::dots_with_a_line_feed(".\n.")]
#[case::over_long(&"x".repeat(256))]
#[tokio::test]
async fn ids_that_are_no_path_segment_are_never_sent(#[case] id: &str) {
    let server = answering(200, &json!({"status": "READY"})).await;
    let client = client(&server.uri());
    let not_found = IntunedError::NotFound;
    assert_eq!(client.create_result(id).await, Err(not_found.clone()));
    let resumed = client.resume_create(id, "ask-1", &PASSCODE.into()).await;
    assert_eq!(resumed, Err(not_found));
    assert_eq!(client.auth_session_status(id).await, Ok(None));
    assert_eq!(client.delete_auth_session(id).await, Ok(()));
    assert_eq!(server.received_requests().await.unwrap().len(), 0);
}

#[test]
fn a_key_that_is_no_header_is_an_error_that_does_not_show_it() {
    let config = IntunedConfig {
        api_key: "canary\nkey".into(),
        ..config("http://127.0.0.1:1", ApiGeneration::Auto)
    };
    let error = intuned_client::IntunedClient::new(
        config,
        std::sync::Arc::new(crate::intuned_support::Noon),
        ambient::Random::from_seed(1),
    )
    .unwrap_err();
    assert!(!format!("{error} {error:?}").contains("canary"));
}
