//! What the Intuned client makes of answers that are none, or not good ones, and what it keeps to itself.

use std::time::Duration;

use intuned_client::IntunedError;
use rstest::rstest;
use serde_json::json;
use tokio::time::Instant;
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

use crate::{
    intuned_support::{
        API_KEY, PASSCODE, PASSWORD, PROXY, Then, USERNAME, client, hasty_client, nobody,
        raw_server, request,
    },
    support::Log,
};

const NO_JSON: IntunedError = IntunedError::Unreadable { reason: "no JSON" };
const TOO_LONG: IntunedError = IntunedError::TooLong;

fn server_error(status: u16, retry_after: Option<u64>) -> IntunedError {
    IntunedError::Server {
        status,
        retry_after: retry_after.map(Duration::from_secs),
    }
}

fn rate_limited(retry_after: Option<u64>) -> IntunedError {
    IntunedError::RateLimited {
        retry_after: retry_after.map(Duration::from_secs),
    }
}

async fn mount(server: &MockServer, template: ResponseTemplate) {
    Mock::given(any())
        .respond_with(template)
        .mount(server)
        .await;
}

#[rstest]
#[case(301, IntunedError::Refused { status: 301 })]
#[case(302, IntunedError::Refused { status: 302 })]
#[case(307, IntunedError::Refused { status: 307 })]
#[case(308, IntunedError::Refused { status: 308 })]
#[case(400, IntunedError::Refused { status: 400 })]
#[case(401, IntunedError::Unauthorized)]
#[case(403, IntunedError::Forbidden)]
#[case(404, IntunedError::NotFound)]
#[case(408, IntunedError::NotProcessed { retry_after: None })]
#[case(409, IntunedError::Conflict)]
#[case(418, IntunedError::Refused { status: 418 })]
#[case(422, IntunedError::Refused { status: 422 })]
#[case(425, IntunedError::NotProcessed { retry_after: None })]
#[case(429, rate_limited(None))]
#[case(500, server_error(500, None))]
#[case(502, server_error(502, None))]
#[case(503, server_error(503, None))]
#[case(504, server_error(504, None))]
#[tokio::test]
async fn every_status_has_its_error(#[case] status: u16, #[case] expected: IntunedError) {
    let elsewhere = MockServer::start().await;
    mount(&elsewhere, ResponseTemplate::new(200)).await;
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status)
        .insert_header("location", elsewhere.uri())
        .set_body_string("<html>not what you think</html>");
    mount(&server, answer).await;
    let client = client(&server.uri());
    assert_eq!(client.start_create(&request()).await, Err(expected.clone()));
    assert_eq!(client.create_result("op").await, Err(expected.clone()));
    let resumed = client.resume_create("op", "ask-1", &PASSCODE.into()).await;
    assert_eq!(resumed, Err(expected));
    assert_eq!(
        server.received_requests().await.unwrap().len(),
        3,
        "each is sent once"
    );
    assert_eq!(
        elsewhere.received_requests().await.unwrap().len(),
        0,
        "no redirect is followed"
    );
}

#[rstest]
#[case::seconds(429, "7", rate_limited(Some(7)))]
#[case::date(429, "Sat, 21 Nov 2026 12:00:30 GMT", rate_limited(Some(30)))]
#[case::past_date(429, "Sat, 21 Nov 2026 11:59:00 GMT", rate_limited(Some(0)))]
#[case::long(429, "3600", rate_limited(Some(60)))]
#[case::absurd(429, "99999999999999999999999", rate_limited(Some(60)))]
#[case::far_date(429, "Fri, 31 Dec 9999 23:59:59 GMT", rate_limited(Some(60)))]
#[case::nonsense(429, "tomorrow", rate_limited(None))]
#[case::unavailable(503, "5", server_error(503, Some(5)))]
#[tokio::test]
async fn retry_after_comes_with_the_error(
    #[case] status: u16,
    #[case] header: &str,
    #[case] expected: IntunedError,
) {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(status).insert_header("retry-after", header);
    mount(&server, answer).await;
    let error = client(&server.uri()).create_result("op").await.unwrap_err();
    assert_eq!(error, expected);
    assert_eq!(error.retry_after(), expected.retry_after());
}

#[tokio::test]
async fn a_429_holds_everything_that_uses_the_key() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(429).insert_header("retry-after", "3600");
    mount(&server, answer).await;
    let client = client(&server.uri());
    let clone = client.clone();
    assert_eq!(client.held_until(), None);
    let before = Instant::now();
    client.create_result("op").await.unwrap_err();
    let until = clone.held_until().unwrap();
    assert!(until >= before + Duration::from_mins(1));
    assert!(until <= Instant::now() + Duration::from_mins(1));

    server.reset().await;
    let answer = ResponseTemplate::new(429).insert_header("retry-after", "1");
    mount(&server, answer).await;
    client.create_result("op").await.unwrap_err();
    assert_eq!(
        clone.held_until(),
        Some(until),
        "a shorter hold does not lift a longer one"
    );

    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(61)).await;
    assert_eq!(clone.held_until(), None);
}

#[tokio::test]
async fn a_503_holds_nobody_else() {
    let server = MockServer::start().await;
    let answer = ResponseTemplate::new(503).insert_header("retry-after", "9");
    mount(&server, answer).await;
    let client = client(&server.uri());
    client.create_result("op").await.unwrap_err();
    assert_eq!(client.held_until(), None);
}

const START: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

#[rstest]
#[case::closed_at_once(String::new(), Then::Close, IntunedError::Broken)]
#[case::cut_headers(START.to_owned(), Then::Close, IntunedError::Broken)]
#[case::cut_body(
    format!("{START}content-length: 99\r\n\r\n{{\"status\":"), Then::Close, IntunedError::Broken
)]
#[case::cut_chunks(
    format!("{START}transfer-encoding: chunked\r\n\r\n5\r\n{{\"sta\r\n"), Then::Close, IntunedError::Broken
)]
#[case::no_http("garbage\r\n\r\n".to_owned(), Then::Close, IntunedError::Broken)]
#[case::silence(String::new(), Then::Hang, IntunedError::TimedOut)]
#[case::stalled_body(
    format!("{START}content-length: 99\r\n\r\n{{"), Then::Hang, IntunedError::TimedOut
)]
#[case::over_long_by_its_own_words(
    format!("{START}content-length: 1048577\r\n\r\n"), Then::Hang, TOO_LONG
)]
#[case::over_long_without_a_word(
    format!("{START}\r\n{}", "x".repeat((1 << 20) + 1)), Then::Hang, TOO_LONG
)]
#[case::over_long_in_chunks(
    format!("{START}transfer-encoding: chunked\r\n\r\n{}", format!("10000\r\n{}\r\n", "x".repeat(1 << 16)).repeat(17)),
    Then::Hang,
    TOO_LONG
)]
#[case::html("HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n<html>".to_owned(), Then::Close, NO_JSON)]
#[case::empty("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned(), Then::Close, NO_JSON)]
#[case::no_content("HTTP/1.1 204 No Content\r\n\r\n".to_owned(), Then::Close, NO_JSON)]
#[case::half_an_object(
    format!("{START}content-length: 12\r\n\r\n{{\"status\":\"?"), Then::Close, NO_JSON
)]
#[tokio::test]
async fn broken_answers_are_told_apart(
    #[case] answer: String,
    #[case] then: Then,
    #[case] expected: IntunedError,
) {
    let origin = raw_server(answer, then).await;
    let client = match expected {
        IntunedError::TimedOut => hasty_client(&origin),
        _ => client(&origin),
    };
    assert_eq!(client.create_result("op").await, Err(expected.clone()));
    assert_eq!(client.start_create(&request()).await, Err(expected.clone()));
    assert!(expected.may_have_acted() && expected.is_transient());
}

#[tokio::test]
async fn an_answer_of_just_a_mebibyte_is_read() {
    let head = r#"{"status":"pending","more":""#;
    let body = format!("{head}{}\"}}", "x".repeat((1 << 20) - head.len() - 2));
    let answer = format!("{START}content-length: {}\r\n\r\n{body}", body.len());
    let client = client(&raw_server(answer, Then::Close).await);
    client.create_result("op").await.unwrap();
}

#[tokio::test]
async fn a_refused_connection_is_certainly_not_acted_on() {
    let error = client(&nobody().await)
        .start_create(&request())
        .await
        .unwrap_err();
    assert_eq!(error, IntunedError::Unreachable);
    assert!(!error.may_have_acted());
}

#[tokio::test]
async fn a_connection_that_is_never_made_is_certainly_not_acted_on() {
    // The server takes the TCP connection, but not the TLS handshake.
    let origin = raw_server("", Then::Hang).await.replace("http:", "https:");
    let started = hasty_client(&origin).start_create(&request()).await;
    assert_eq!(started, Err(IntunedError::Unreachable));
}

/// What is told at the level that is set by default: once a minute, however often it happens.
#[rstest]
#[case::refused(nobody().await, "refused")]
#[case::unknown_name("http://intuned.invalid".to_owned(), "lookup")]
#[case::no_tls(
    raw_server("HTTP/1.1 200 OK\r\n\r\n", Then::Close).await.replace("http:", "https:"),
    "corrupt message"
)]
#[case::hung_up(raw_server("", Then::Close).await, "connection closed")]
#[case::cut_body(
    raw_server(format!("{START}content-length: 99\r\n\r\n{{"), Then::Close).await,
    "end of file"
)]
#[tokio::test]
async fn why_intuned_does_not_answer_is_told_to_the_operator(
    #[case] origin: String,
    #[case] cause: &str,
) {
    let log = Log::new();
    let _guard = tracing::subscriber::set_default(
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(log.clone())
            .finish(),
    );
    let client = client(&origin);
    for _ in 0..5 {
        client.create_result("op").await.unwrap_err();
    }
    let text = log.text();
    let told: Vec<_> = text.lines().filter(|line| line.contains("WARN")).collect();
    let [told] = told[..] else {
        panic!("told once: {text}");
    };
    assert!(told.contains(cause), "{told}");
    assert!(!told.contains("//"), "no address: {told}");
}

#[tokio::test]
async fn no_secret_is_logged_at_trace_level() {
    let log = Log::new();
    let _guard = tracing::subscriber::set_default(
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone())
            .finish(),
    );
    let server = MockServer::start().await;
    let echo = json!({
        "status": "failed", "error": PASSWORD, "message": PASSWORD, "operationId": "op",
    });
    mount(&server, ResponseTemplate::new(200).set_body_json(echo)).await;
    let speaker = client(&server.uri());
    let mut request = request();
    request.proxy = Some(PROXY.into());
    tracing::info!(?request, client = ?speaker, "canaries that must not sing");
    speaker.start_create(&request).await.unwrap();
    let result = speaker.create_result("op").await.unwrap();
    tracing::info!(?result, "neither may this one");
    speaker
        .resume_create("op", "ask-1", &PASSCODE.into())
        .await
        .unwrap();
    speaker.delete_auth_session("s").await.unwrap();
    let broken = client(&raw_server("", Then::Close).await);
    tracing::info!(error = ?broken.start_create(&request).await, "nor this one");

    let text = log.text();
    assert!(
        text.contains("create.start"),
        "the log was listened to: {text}"
    );
    assert!(
        text.contains("hyper_util") || text.contains("reqwest"),
        "libraries too: {text}"
    );
    for secret in [API_KEY, USERNAME, "canary-", PASSCODE, PROXY] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}
