//! Subscriptions over plain HTTP: server-sent events in graphql-sse's distinct connections mode.

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

const EVENTS: &str = "text/event-stream";

fn body(query: &str) -> Value {
    json!({ "query": query })
}

async fn open(request: reqwest::RequestBuilder) -> Response {
    within_deadline(request.header(ACCEPT, EVENTS).send())
        .await
        .expect("an answer")
}

async fn stream(server: &TestServer, query: &str) -> Response {
    let response = open(server.post(&body(query)).bearer_auth(ALICE)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "text/event-stream; charset=utf-8"
    );
    response
}

/// Reads until the text ends with `end`.
async fn read_to(response: &mut Response, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let chunk = within_deadline(response.chunk())
            .await
            .expect("readable")
            .expect("more");
        text += std::str::from_utf8(&chunk).expect("UTF-8");
    }
    text
}

#[rstest]
#[case("subscription { count(to: 2) }", &[r#"{"data":{"count":1}}"#, r#"{"data":{"count":2}}"#])]
#[case("{ length(text: \"four\") }", &[r#"{"data":{"length":4}}"#])]
#[case("mutation { increment }", &[r#"{"data":{"increment":1}}"#])]
#[tokio::test]
async fn every_operation_can_be_streamed(#[case] query: &str, #[case] answers: &[&str]) {
    let server = TestServer::start().await;
    let text = within_deadline(stream(&server, query).await.text())
        .await
        .expect("a body");
    let next = answers
        .iter()
        .map(|answer| format!("event: next\ndata: {answer}\n\n"));
    let expected = ":\n\n".to_owned() + &next.collect::<String>() + "event: complete\ndata:\n\n";
    assert_eq!(text, expected);
}

#[tokio::test]
async fn subscription_can_be_streamed_by_get_and_a_mutation_cannot() {
    let server = TestServer::start().await;
    let url = server.get_url(&[("query", "subscription { count(to: 1) }")]);
    let text = within_deadline(open(Client::new().get(url)).await.text())
        .await
        .expect("a body");
    assert!(text.ends_with("event: complete\ndata:\n\n"), "{text}");

    let url = server.get_url(&[("query", "mutation { increment }")]);
    let response = open(Client::new().get(url)).await;
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn subscription_by_post_needs_an_event_stream() {
    let server = TestServer::start().await;
    let post = server.post(&body("subscription { count(to: 1) }"));
    let response = within_deadline(post.header(ACCEPT, "application/json").send())
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::NOT_ACCEPTABLE);

    // Clients that accept everything get the type that fits the operation.
    let all = "application/graphql-response+json, application/json, text/event-stream";
    let post = server.post(&body("subscription { count(to: 1) }"));
    let response = within_deadline(post.header(ACCEPT, all).send())
        .await
        .expect("an answer");
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "text/event-stream; charset=utf-8"
    );
}

#[rstest]
#[case(json!({ "query": 1 }), StatusCode::BAD_REQUEST)]
#[case(body("{"), StatusCode::BAD_REQUEST)]
#[case(json!({ "query": "query A { me }", "operationName": "B" }), StatusCode::BAD_REQUEST)]
#[tokio::test]
async fn malformed_request_is_refused_before_the_stream(
    #[case] body: Value,
    #[case] status: StatusCode,
) {
    let server = TestServer::start().await;
    let response = open(server.post(&body)).await;
    assert_eq!(response.status(), status);
    assert_eq!(
        response.headers()[CONTENT_TYPE],
        "application/graphql-response+json; charset=utf-8"
    );
    let answer: Value = within_deadline(response.json()).await.expect("JSON");
    assert!(answer["errors"][0]["extensions"]["code"].is_string());
}

#[tokio::test]
async fn validation_errors_come_in_the_stream() {
    let server = TestServer::start().await;
    let text = within_deadline(stream(&server, "{ unknown }").await.text())
        .await
        .expect("a body");
    assert!(text.starts_with(":\n\nevent: next\n"));
    assert!(text.contains(r#"{"errors":[{"message":"#));
    assert!(text.ends_with("event: complete\ndata:\n\n"));
}

#[tokio::test]
async fn idle_event_stream_gets_comments() {
    let server = TestServer::with(|settings| settings.keep_alive = Duration::from_millis(20)).await;
    let mut response = stream(&server, "subscription { never }").await;
    read_to(&mut response, ":\n\n:\n\n:\n\n").await;
}

#[tokio::test]
async fn end_of_session_ends_the_stream_without_complete() {
    let server = TestServer::start().await;
    let mut response = stream(&server, "subscription { once }").await;
    let first = ":\n\nevent: next\ndata: {\"data\":{\"once\":1}}\n\n";
    assert_eq!(read_to(&mut response, "}\n\n").await, first);
    server.accounts.end_sessions();
    assert!(
        within_deadline(response.chunk())
            .await
            .expect("a clean end")
            .is_none()
    );
}

#[tokio::test]
async fn shutdown_ends_the_stream_without_complete() {
    let server = TestServer::start().await;
    let mut response = stream(&server, "subscription { once }").await;
    read_to(&mut response, "}\n\n").await;
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
    let first = stream(&server, "subscription { never }").await;
    let second = open(
        server
            .post(&body("subscription { never }"))
            .bearer_auth(ALICE),
    )
    .await;
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    drop(first);
    wait_until(|| server.accounts.watchers() == 0).await;
    stream(&server, "subscription { never }").await;
}
