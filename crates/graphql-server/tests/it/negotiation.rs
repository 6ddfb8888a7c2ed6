//! Content negotiation: media types of requests and responses.

use reqwest::{
    Client, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use rstest::rstest;

use crate::test_server::TestServer;

use crate::requests::{GRAPHQL, code, query, send};

#[rstest]
#[case(Some("text/plain"))]
#[case(Some("application/x-www-form-urlencoded"))]
#[case(Some("multipart/form-data; boundary=x"))]
#[case(Some("application/json; charset=latin1"))]
#[case(Some("nonsense"))]
#[case(None)]
#[tokio::test]
async fn body_not_declared_as_json_is_415(#[case] media: Option<&str>) {
    let server = TestServer::start().await;
    let mut request = Client::new()
        .post(server.url("/graphql"))
        .body(query("mutation { increment }").to_string());
    if let Some(media) = media {
        request = request.header(CONTENT_TYPE, media);
    }
    let (status, _, answer) = send(request).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(code(&answer), "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(server.count(), 0);
}

#[rstest]
#[case("gzip", false)]
#[case("identity, gzip", false)]
#[case("br", false)]
#[case("nonsense", false)]
#[case("Identity", true)]
#[case("", true)]
#[tokio::test]
async fn compressed_body_is_415(#[case] coding: &str, #[case] is_read: bool) {
    let server = TestServer::start().await;
    let request = Client::new()
        .post(server.url("/graphql"))
        .header(CONTENT_TYPE, "application/json")
        .header("content-encoding", coding)
        .body(query("mutation { increment }").to_string());
    let (status, headers, answer) = send(request).await;
    if is_read {
        assert_eq!(status, StatusCode::OK, "{answer}");
    } else {
        assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(headers["accept-encoding"], "identity");
        assert_eq!(code(&answer), "UNSUPPORTED_MEDIA_TYPE");
        assert_eq!(server.count(), 0);
    }
}

#[rstest]
#[case("text/html")]
#[case("application/json;q=0")]
#[case("application/json; charset=utf-16")]
#[tokio::test]
async fn unacceptable_accept_header_is_406(#[case] accept: &str) {
    let server = TestServer::start().await;
    let (status, _, answer) = send(server.post(&query("{ me }")).header(ACCEPT, accept)).await;
    assert_eq!(status, StatusCode::NOT_ACCEPTABLE);
    assert_eq!(code(&answer), "NOT_ACCEPTABLE");
}

#[rstest]
#[case("application/json", "application/json")]
#[case("*/*", "application/json")]
#[case("application/json;q=0.5, application/graphql-response+json", GRAPHQL)]
#[case(
    "text/html, application/graphql-response+json, application/json",
    GRAPHQL
)]
#[case(
    "application/graphql-response+json, text/event-stream, multipart/mixed",
    GRAPHQL
)]
#[tokio::test]
async fn preferred_media_type_is_used(#[case] accept: &str, #[case] media: &str) {
    let server = TestServer::start().await;
    let (status, headers, _) = send(server.post(&query("{ me }")).header(ACCEPT, accept)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[CONTENT_TYPE], format!("{media}; charset=utf-8"));
}

#[rstest]
#[case("{ unknown }".to_owned(), "GRAPHQL_VALIDATION_FAILED")]
#[case("{ me".to_owned(), "GRAPHQL_PARSE_FAILED")]
#[case("{ me } query Named { me }".to_owned(), "GRAPHQL_PARSE_FAILED")]
#[case("query A { me } query B { me }".to_owned(), "OPERATION_RESOLUTION_FAILURE")]
#[case("query($n: Int!) { number(value: $n) unknown }".to_owned(), "GRAPHQL_VALIDATION_FAILED")]
#[case("{ ...F } fragment F on Query { ...F }".to_owned(), "GRAPHQL_VALIDATION_FAILED")]
#[case(format!("{{ {} }}", "a: me ".repeat(16)), "QUERY_TOO_COMPLEX")]
#[tokio::test]
async fn invalid_query_is_400_or_200_by_media_type(#[case] text: String, #[case] expected: &str) {
    let server = TestServer::start().await;
    let body = query(&text);
    let (status, _, answer) = send(server.post(&body).header(ACCEPT, GRAPHQL)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.get("data").is_none());
    assert_eq!(code(&answer), expected);

    let (status, _, answer) = send(server.post(&body).header(ACCEPT, "application/json")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer.get("data").is_none());
    assert_eq!(code(&answer), expected);
}
