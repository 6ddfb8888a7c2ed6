//! Queries and mutations over HTTP: statuses, media types, errors.

use graphql_server::{Problem, ServerOptions};
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    test_accounts::{ALICE, UNLUCKY},
    test_server::{TestServer, within_deadline},
};

pub(crate) const GRAPHQL: &str = "application/graphql-response+json";

pub(crate) async fn send(request: reqwest::RequestBuilder) -> (StatusCode, HeaderMap, Value) {
    let response: Response = within_deadline(request.send()).await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = within_deadline(response.bytes()).await.expect("a body");
    let body = serde_json::from_slice(&body).expect("JSON");
    (status, headers, body)
}

pub(crate) fn query(text: &str) -> Value {
    json!({ "query": text })
}

pub(crate) fn code(body: &Value) -> &str {
    body["errors"][0]["extensions"]["code"]
        .as_str()
        .expect("a code")
}

#[tokio::test]
async fn query_is_answered_by_post_and_get() {
    let server = TestServer::start().await;
    let body = json!({
        "query": "query Length($text: String!) { length(text: $text) }",
        "operationName": "Length",
        "variables": { "text": "four" },
    });
    let (status, headers, answer) = send(server.post(&body)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[CONTENT_TYPE], "application/json; charset=utf-8");
    assert_eq!(answer, json!({ "data": { "length": 4 } }));

    let get = Client::new().get(server.get_url(&[
        ("query", "query($text: String!) { length(text: $text) }"),
        ("variables", r#"{"text":"four"}"#),
    ]));
    let (status, headers, answer) = send(get.header(ACCEPT, GRAPHQL)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[CONTENT_TYPE], format!("{GRAPHQL}; charset=utf-8"));
    assert_eq!(answer, json!({ "data": { "length": 4 } }));
}

#[rstest]
#[case("mutation { increment }")]
#[case("subscription { count(to: 3) }")]
#[tokio::test]
async fn mutation_or_subscription_by_get_is_405(
    #[case] text: &str,
    #[values("application/json", GRAPHQL, "*/*")] accept: &str,
) {
    let server = TestServer::start().await;
    let get = Client::new().get(server.get_url(&[("query", text)]));
    let (status, headers, answer) = send(get.header(ACCEPT, accept)).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(headers[ALLOW], "POST");
    assert_eq!(code(&answer), "METHOD_NOT_ALLOWED");
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn other_methods_are_405() {
    let server = TestServer::start().await;
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let request = Client::new().request(method, server.url("/graphql"));
        let (status, headers, answer) = send(request).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(headers[ALLOW], "GET, POST");
        assert_eq!(code(&answer), "METHOD_NOT_ALLOWED");
    }
}

#[rstest]
#[case("")]
#[case("{")]
#[case("null")]
#[case(r#""text""#)]
#[case(r#"{"query":1}"#)]
#[case(r#"{"operationName":"A"}"#)]
#[case(r#"{"query":"{ me }","operationName":1}"#)]
#[case(r#"{"query":"{ me }","variables":"hunter2"}"#)]
#[case(r#"{"query":"{ me }","variables":[]}"#)]
#[case(r#"{"query":"{ me }","extensions":7}"#)]
#[tokio::test]
async fn malformed_request_is_400_with_a_fixed_message(
    #[case] body: &str,
    #[values("application/json", GRAPHQL)] accept: &str,
) {
    let server = TestServer::start().await;
    let request = Client::new()
        .post(server.url("/graphql"))
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, accept)
        .body(body.to_owned());
    let (status, headers, answer) = send(request).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(headers[CONTENT_TYPE], format!("{accept}; charset=utf-8"));
    assert_eq!(code(&answer), "BAD_REQUEST");
    assert!(answer.get("data").is_none());
    assert!(!answer.to_string().contains("hunter2"));
}

#[rstest]
#[case("variables=1&query={me}")]
#[case("query={me}&variables={")]
#[case("query={me}&query={me}")]
#[case("")]
#[tokio::test]
async fn malformed_url_is_400(#[case] parameters: &str) {
    let server = TestServer::start().await;
    let get = Client::new().get(server.url(&format!("/graphql?{parameters}")));
    let (status, _, answer) = send(get).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(code(&answer), "BAD_REQUEST");
}

#[tokio::test]
async fn bearer_token_identifies_the_user() {
    let server = TestServer::start().await;
    let me = query("{ me }");
    let (_, _, answer) = send(server.post(&me).bearer_auth(ALICE)).await;
    assert_eq!(answer["data"]["me"], "00000000-0000-0000-0000-000000000001");
    for request in [
        server.post(&me),
        server.post(&me).bearer_auth("nonsense"),
        server.post(&me).basic_auth("alice", Some(ALICE)),
    ] {
        let (status, _, answer) = send(request).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer, json!({ "data": { "me": null } }));
    }
}

#[tokio::test]
async fn failed_session_lookup_is_503() {
    let server = TestServer::start().await;
    let (status, _, answer) = send(server.post(&query("{ me }")).bearer_auth(UNLUCKY)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(code(&answer), "SERVICE_UNAVAILABLE");
    assert!(!answer.to_string().contains("away"));
}

#[tokio::test]
async fn every_response_has_a_request_id_and_security_headers() {
    let server = TestServer::start().await;
    let (_, headers, answer) = send(server.post(&query("{ requestId peer }"))).await;
    assert_eq!(
        answer["data"]["requestId"].as_str(),
        headers["x-request-id"].to_str().ok()
    );
    assert_eq!(answer["data"]["peer"], "127.0.0.1");
    for path in ["/graphql", "/nowhere", "/health/live", "/extra"] {
        let response = within_deadline(reqwest::get(server.url(path)))
            .await
            .expect("an answer");
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert!(headers.contains_key("content-security-policy"), "{path}");
        assert!(headers.contains_key("x-request-id"), "{path}");
    }
}

#[tokio::test]
async fn unknown_path_is_404() {
    let server = TestServer::start().await;
    let (status, _, answer) = send(Client::new().get(server.url("/nowhere"))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(code(&answer), "NOT_FOUND");

    let response = within_deadline(reqwest::get(server.url("/extra")))
        .await
        .expect("an answer");
    assert_eq!(response.headers()["cache-control"], "max-age=60");
    assert_eq!(
        within_deadline(response.text()).await.expect("a body"),
        "extra"
    );
}

#[tokio::test]
async fn health_check_lists_problems() {
    let address = ([127, 0, 0, 1], 0).into();
    let problem = Problem {
        part: "database",
        problem: "It is away.",
    };
    let server = TestServer::listening(address, ServerOptions::default(), vec![problem]).await;
    let (status, _, answer) = send(Client::new().get(server.url("/health/live"))).await;
    assert_eq!(
        (status, answer),
        (StatusCode::OK, json!({ "status": "ok" }))
    );
    let (status, _, answer) = send(Client::new().get(server.url("/health/ready"))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer,
        json!({ "status": "unavailable", "problems": { "database": "It is away." } })
    );

    let server = TestServer::start().await;
    let (status, _, _) = send(Client::new().get(server.url("/health/ready"))).await;
    assert_eq!(status, StatusCode::OK);
}
