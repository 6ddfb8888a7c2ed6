//! Subscriptions in Apollo's multipart protocol.

use std::time::Duration;

use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    test_accounts::ALICE,
    test_server::{TestServer, wait_until, within_deadline},
};

const PARTS: &str = r#"multipart/mixed;subscriptionSpec="1.0", application/json"#;
const START: &str = "\r\n--graphql\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql";
const HEARTBEAT: &str = "\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql";

async fn open(server: &TestServer, query: &str, accept: &str) -> Response {
    let post = server.post(&json!({ "query": query })).bearer_auth(ALICE);
    let response = within_deadline(post.header(ACCEPT, accept).send()).await;
    response.expect("an answer")
}

fn part(json: &str) -> String {
    format!("\r\ncontent-type: application/json\r\n\r\n{json}\r\n--graphql")
}

/// Reads until the text ends with `end`.
async fn read_to(response: &mut Response, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let chunk = within_deadline(response.chunk()).await.expect("readable");
        text += std::str::from_utf8(&chunk.expect("more")).expect("UTF-8");
    }
    text
}

#[rstest]
#[case(PARTS)]
#[case("multipart/mixed; boundary=graphql; subscriptionSpec=1.0, application/json")]
#[case("multipart/mixed;subscriptionspec=1.0")]
#[case("application/json, multipart/mixed;subscriptionSpec=1.0")]
#[tokio::test]
async fn subscription_comes_in_parts(#[case] accept: &str) {
    let server = TestServer::start().await;
    let response = open(&server, "subscription { count(to: 2) }", accept).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        r#"multipart/mixed;boundary="graphql";subscriptionSpec="1.0""#
    );
    let expected = [
        START,
        &part(r#"{"payload":{"data":{"count":1}}}"#),
        &part(r#"{"payload":{"data":{"count":2}}}"#),
        "--\r\n",
    ];
    let text = within_deadline(response.text()).await.expect("a body");
    assert_eq!(text, expected.concat());
}

#[rstest]
#[case("multipart/mixed")]
#[case("multipart/mixed;subscriptionSpec=2.0")]
#[case("multipart/mixed;deferSpec=20220824, application/json")]
#[tokio::test]
async fn other_multipart_protocols_are_not_accepted(#[case] accept: &str) {
    let server = TestServer::start().await;
    let response = open(&server, "subscription { count(to: 2) }", accept).await;
    assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);
}

#[rstest]
#[case("{ length(text: \"four\") }", r#"{"data":{"length":4}}"#)]
#[case("mutation { increment }", r#"{"data":{"increment":1}}"#)]
#[tokio::test]
async fn other_operations_get_json(#[case] query: &str, #[case] answer: &str) {
    let server = TestServer::start().await;
    let response = open(&server, query, PARTS).await;
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "application/json; charset=utf-8"
    );
    assert_eq!(
        within_deadline(response.text()).await.expect("a body"),
        answer
    );
}

#[tokio::test]
async fn first_accepted_protocol_is_used() {
    let server = TestServer::start().await;
    let accept = "text/event-stream, multipart/mixed;subscriptionSpec=1.0";
    let response = open(&server, "subscription { count(to: 2) }", accept).await;
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "text/event-stream; charset=utf-8"
    );
}

#[tokio::test]
async fn multipart_by_get_is_405() {
    let server = TestServer::start().await;
    let url = server.get_url(&[("query", "subscription { count(to: 1) }")]);
    let response = within_deadline(Client::new().get(url).header(ACCEPT, PARTS).send()).await;
    let response = response.expect("an answer");
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
}

#[tokio::test]
async fn invalid_subscription_is_a_fatal_error() {
    let server = TestServer::start().await;
    let response = open(&server, "subscription { unknown }", PARTS).await;
    let text = within_deadline(response.text()).await.expect("a body");
    let rest = text.strip_prefix(START).expect("the start");
    assert!(rest.contains(r#"{"payload":null,"errors":[{"message":"#));
    assert!(rest.contains("GRAPHQL_VALIDATION_FAILED"));
    assert!(rest.ends_with("\r\n--graphql--\r\n"));
}

#[tokio::test]
async fn failed_field_is_in_the_payload_and_a_panic_outside() {
    let server = TestServer::start().await;
    let response = open(&server, "subscription { broken }", PARTS).await;
    let text = within_deadline(response.text()).await.expect("a body");
    assert!(text.contains(r#"{"payload":{"data":null,"errors":[{"message":"no such thing""#));
    let response = open(&server, "subscription { panic }", PARTS).await;
    let text = within_deadline(response.text()).await.expect("a body");
    assert!(text.contains(r#"{"payload":{"data":{"panic":1}}}"#));
    assert!(text.contains(r#"{"payload":null,"errors":[{"message":"Something went wrong"#));
    assert!(text.ends_with("\r\n--graphql--\r\n"));
}

#[tokio::test]
async fn malformed_request_is_refused_before_the_first_part() {
    let server = TestServer::start().await;
    let response = open(&server, "subscription {", PARTS).await;
    assert_eq!(response.status(), StatusCode::OK);
    let answer: Value = within_deadline(response.json()).await.expect("JSON");
    assert_eq!(
        answer["errors"][0]["extensions"]["code"],
        "GRAPHQL_PARSE_FAILED"
    );
}

#[tokio::test]
async fn idle_multipart_stream_has_heartbeats() {
    let server = TestServer::with(|settings| settings.keep_alive = Duration::from_millis(20)).await;
    let mut response = open(&server, "subscription { never }", PARTS).await;
    read_to(&mut response, &[START, HEARTBEAT, HEARTBEAT].concat()).await;
}

#[tokio::test]
async fn end_of_session_is_reported_and_ends_the_stream() {
    let server = TestServer::start().await;
    let mut response = open(&server, "subscription { once }", PARTS).await;
    read_to(&mut response, &part(r#"{"payload":{"data":{"once":1}}}"#)).await;
    server.accounts.end_sessions();
    let text = within_deadline(response.text()).await.expect("a body");
    let last = r#"{"payload":null,"errors":[{"message":"Your session has ended. Sign in again.","extensions":{"code":"UNAUTHENTICATED"}}]}"#;
    assert_eq!(text, part(last) + "--\r\n");
}

#[tokio::test]
async fn shutdown_ends_the_stream_without_a_closing_boundary() {
    let server = TestServer::start().await;
    let mut response = open(&server, "subscription { once }", PARTS).await;
    read_to(&mut response, &part(r#"{"payload":{"data":{"once":1}}}"#)).await;
    server.shutdown.cancel();
    assert!(
        within_deadline(response.chunk())
            .await
            .expect("a clean end")
            .is_none()
    );
    server.stop().await;
}

#[tokio::test]
async fn stream_holds_a_permit_until_its_reader_leaves() {
    let server = TestServer::with(|settings| settings.streams_per_user = 1).await;
    let first = open(&server, "subscription { never }", PARTS).await;
    let second = open(&server, "subscription { never }", PARTS).await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(first);
    wait_until(|| server.accounts.watchers() == 0).await;
    let third = open(&server, "subscription { never }", PARTS).await;
    assert_eq!(third.status(), StatusCode::OK);
}

#[tokio::test]
async fn stalled_reader_holds_no_memory_and_is_closed() {
    let server =
        TestServer::with(|settings| settings.write_timeout = Duration::from_millis(300)).await;
    let response = open(&server, "subscription { flood }", PARTS).await;
    wait_until(|| server.accounts.watchers() == 0).await;
    assert!((1..1_000).contains(&server.count()), "{}", server.count());
    drop(response);
}
