//! Batches: a JSON list of operations in one request.

use std::time::Duration;

use graphql_server::ServerOptions;
use reqwest::{
    RequestBuilder, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, COOKIE, HeaderMap, ORIGIN},
};
use rstest::rstest;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    test_accounts::{ALICE, SESSION_COOKIE},
    test_server::{TestServer, within_deadline},
};

const GRAPHQL: &str = "application/graphql-response+json";

async fn send(request: RequestBuilder) -> (StatusCode, HeaderMap, Value) {
    let response = within_deadline(request.send()).await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = within_deadline(response.bytes()).await.expect("a body");
    let body = serde_json::from_slice(&body).expect("JSON");
    (status, headers, body)
}

fn batch(texts: &[&str]) -> Value {
    texts.iter().map(|text| json!({ "query": text })).collect()
}

fn data(text: &str, value: impl Into<Value>) -> Value {
    json!({ "data": { text: value.into() } })
}

/// Returns the code of the first error of each result; empty without an error.
fn codes(answers: &Value) -> Vec<&str> {
    let answers = answers.as_array().expect("a list").iter();
    answers
        .map(|answer| {
            let code = &answer["errors"][0]["extensions"]["code"];
            code.as_str().unwrap_or_default()
        })
        .collect()
}

async fn server_with(limit: usize) -> TestServer {
    TestServer::with(|settings| settings.batch_limit = limit).await
}

#[tokio::test]
async fn batches_are_off_by_default() {
    assert_eq!(ServerOptions::default().batch_limit, 0);
    let server = TestServer::start().await;
    for texts in [&["mutation { increment }"; 2][..], &[]] {
        let (status, _, answer) = send(server.post(&batch(texts))).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert_eq!(
            answer["errors"],
            json!([{
                "message": "Batches are off, unless MAX_BATCH_OPERATIONS is set: \
                            send one operation in each request.",
                "extensions": { "code": "BAD_REQUEST" },
            }])
        );
    }
    assert_eq!(server.count(), 0);
}

#[rstest]
#[case("application/json", "application/json; charset=utf-8")]
#[case(GRAPHQL, "application/graphql-response+json; charset=utf-8")]
#[case(
    "text/event-stream, application/json;q=0.5",
    "application/json; charset=utf-8"
)]
#[tokio::test]
async fn batch_results_come_in_order(#[case] accept: &str, #[case] media: &str) {
    let server = server_with(4).await;
    let body = json!([
        { "query": "query A { __typename } query B($text: String!) { length(text: $text) }",
          "operationName": "B", "variables": { "text": "four" } },
        { "query": "mutation { increment }" },
        { "query": "{ me }" },
        { "query": "mutation { increment }" },
    ]);
    let post = server.post(&body).header(ACCEPT, accept).bearer_auth(ALICE);
    let (status, headers, answers) = send(post).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[CONTENT_TYPE], media);
    assert_eq!(
        answers,
        json!([
            data("length", 4),
            data("increment", 1),
            data("me", Uuid::from_u128(1).to_string()),
            data("increment", 2),
        ])
    );
    let (_, _, single) = send(server.post(&json!({ "query": "{ me }" }))).await;
    assert_eq!(single, data("me", Value::Null));
    let (_, _, one) = send(server.post(&batch(&["{ me }"]))).await;
    assert_eq!(one, json!([data("me", Value::Null)]));
}

#[tokio::test]
async fn batch_error_stays_in_its_place() {
    let server = server_with(20).await;
    let body = json!([
        { "query": "{ fail }" },
        { "query": "{ nothing }" },
        { "query": "{" },
        { "query": "{ panic }" },
        { "query": "{ length(text: 7) }" },
        { "query": "subscription { count(to: 3) }" },
        { "query": 7 },
        {},
        7,
        null,
        [{ "query": "mutation { increment }" }],
        { "query": "query($t: [Int!]) { me }", "variables": { "t": vec![0; 2_000] } },
        { "documentId": "sha256:0" },
        { "query": "{ a: me b: me c: me d: me e: me f: me g: me h: me i: me j: me k: me l: me m: me n: me o: me p: me }" },
        { "query": "mutation { increment }" },
    ]);
    for accept in [
        "application/json",
        GRAPHQL,
        "application/json, text/event-stream",
    ] {
        let post = server.post(&body).header(ACCEPT, accept);
        let (status, _, answers) = send(post).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(
            codes(&answers),
            [
                "BAD_USER_INPUT",
                "GRAPHQL_VALIDATION_FAILED",
                "GRAPHQL_PARSE_FAILED",
                "INTERNAL",
                "GRAPHQL_VALIDATION_FAILED",
                "NOT_ACCEPTABLE",
                "BAD_REQUEST",
                "BAD_REQUEST",
                "BAD_REQUEST",
                "BAD_REQUEST",
                "BAD_REQUEST",
                "BAD_REQUEST",
                "PERSISTED_QUERY_NOT_FOUND",
                "QUERY_TOO_COMPLEX",
                "",
            ],
            "{answers:#}"
        );
    }
    assert_eq!(server.count(), 3);
}

#[rstest]
#[case::empty("[]", "The batch is empty.")]
#[case::too_many(
    r#"[{"query":"mutation { increment }"},{},{}]"#,
    "The batch is too long: at most 2 operations."
)]
#[case::cut_short(
    r#"[{"query":"mutation { increment }"}"#,
    "The body must be a JSON object"
)]
#[case::more_after_it(
    r#"[{"query":"mutation { increment }"}][]"#,
    "The body must be a JSON object"
)]
#[tokio::test]
async fn invalid_batch_is_refused_as_a_whole(
    #[case] body: &'static str,
    #[case] message: &str,
    #[values("application/json", GRAPHQL)] accept: &str,
) {
    let server = server_with(2).await;
    let post = server.post(&Value::Null).body(body).header(ACCEPT, accept);
    let (status, _, answer) = send(post).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let told = answer["errors"][0]["message"].as_str().expect("a message");
    assert!(told.starts_with(message), "{told}");
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn request_limits_apply_to_the_whole_batch() {
    let server = server_with(3).await;
    let flood = format!("[{}0]", "0,".repeat(400_000));
    let (status, _, answer) = send(server.post(&Value::Null).body(flood)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let message = &answer["errors"][0]["message"];
    assert_eq!(message, "The request has too many values: at most 6000.");

    let long = json!([{ "query": "{ me }", "variables": { "text": "x".repeat(1 << 20) } }]);
    let (status, ..) = send(server.post(&long)).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
    for media in ["text/event-stream", "multipart/mixed;subscriptionSpec=1.0"] {
        let post = server.post(&batch(&["mutation { increment }"]));
        let (status, ..) = send(post.header(ACCEPT, media)).await;
        assert_eq!(status, StatusCode::NOT_ACCEPTABLE);
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn foreign_page_cannot_use_the_cookie_in_a_batch() {
    let server = server_with(3).await;
    let post = server.post(&batch(&["mutation { increment }"]));
    let post = post.header(COOKIE, SESSION_COOKIE);
    let (status, ..) = send(post.header(ORIGIN, "https://evil.example")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let plain = reqwest::Client::new().post(server.url("/graphql"));
    let plain = plain.body(batch(&["mutation { increment }"]).to_string());
    let (status, ..) = send(plain.header(CONTENT_TYPE, "text/plain")).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn batch_operations_share_their_time_limit() {
    let server = TestServer::with(|settings| {
        settings.batch_limit = 5;
        settings.query_timeout = Duration::from_millis(50);
        settings.mutation_timeout = Duration::from_mins(1);
    })
    .await;
    // Queries that wait count, too, with the same counter as the mutation.
    let texts = ["{ wait }", "{ wait }", "{ me }", "mutation { increment }"];
    let (status, _, answers) = send(server.post(&batch(&texts))).await;
    assert_eq!(status, StatusCode::OK);
    let late = "EXECUTION_TIMEOUT";
    assert_eq!(codes(&answers), [late, late, late, ""]);
    assert_eq!(answers[3], data("increment", 2), "one waited");
}

#[tokio::test]
async fn batch_takes_one_secret() {
    let server = server_with(5).await;
    let sign_in = "mutation { signIn(password: \"correct horse\") }";
    let texts = [sign_in, sign_in, "mutation { increment }", sign_in];
    let (_, _, answers) = send(server.post(&batch(&texts))).await;
    let refused = "QUERY_TOO_COMPLEX";
    assert_eq!(codes(&answers), ["", refused, "", refused]);
}
