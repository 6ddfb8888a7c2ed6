//! Queries and mutations over HTTP: statuses, media types, errors.

use graphql_server::{Problem, ServerOptions};
use reqwest::{
    Client, Method, Response, StatusCode,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::toy::{ALICE, Toy, UNLUCKY, soon};

const GRAPHQL: &str = "application/graphql-response+json";

async fn send(request: reqwest::RequestBuilder) -> (StatusCode, HeaderMap, Value) {
    let response: Response = soon(request.send()).await.expect("an answer");
    let (status, headers) = (response.status(), response.headers().clone());
    let body = soon(response.bytes()).await.expect("a body");
    let body = serde_json::from_slice(&body).expect("JSON");
    (status, headers, body)
}

fn query(text: &str) -> Value {
    json!({ "query": text })
}

fn code(body: &Value) -> &str {
    body["errors"][0]["extensions"]["code"]
        .as_str()
        .expect("a code")
}

#[tokio::test]
async fn query_is_answered_by_post_and_get() {
    let toy = Toy::start().await;
    let body = json!({
        "query": "query Length($text: String!) { length(text: $text) }",
        "operationName": "Length",
        "variables": { "text": "four" },
    });
    let (status, headers, answer) = send(toy.post(&body)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(headers[CONTENT_TYPE], "application/json; charset=utf-8");
    assert_eq!(answer, json!({ "data": { "length": 4 } }));

    let get = Client::new().get(toy.get_url(&[
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
    let toy = Toy::start().await;
    let get = Client::new().get(toy.get_url(&[("query", text)]));
    let (status, headers, answer) = send(get.header(ACCEPT, accept)).await;
    assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(headers[ALLOW], "POST");
    assert_eq!(code(&answer), "METHOD_NOT_ALLOWED");
    assert_eq!(toy.count(), 0);
}

#[tokio::test]
async fn other_methods_are_405() {
    let toy = Toy::start().await;
    for method in [Method::PUT, Method::DELETE, Method::PATCH, Method::OPTIONS] {
        let request = Client::new().request(method, toy.url("/graphql"));
        let (status, headers, answer) = send(request).await;
        assert_eq!(status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(headers[ALLOW], "GET, POST");
        assert_eq!(code(&answer), "METHOD_NOT_ALLOWED");
    }
}

#[rstest]
#[case(Some("text/plain"))]
#[case(Some("application/x-www-form-urlencoded"))]
#[case(Some("multipart/form-data; boundary=x"))]
#[case(Some("application/json; charset=latin1"))]
#[case(Some("nonsense"))]
#[case(None)]
#[tokio::test]
async fn body_not_declared_as_json_is_415(#[case] media: Option<&str>) {
    let toy = Toy::start().await;
    let mut request = Client::new()
        .post(toy.url("/graphql"))
        .body(query("mutation { increment }").to_string());
    if let Some(media) = media {
        request = request.header(CONTENT_TYPE, media);
    }
    let (status, _, answer) = send(request).await;
    assert_eq!(status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    assert_eq!(code(&answer), "UNSUPPORTED_MEDIA_TYPE");
    assert_eq!(toy.count(), 0);
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
    let toy = Toy::start().await;
    let request = Client::new()
        .post(toy.url("/graphql"))
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
        assert_eq!(toy.count(), 0);
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
    let toy = Toy::start().await;
    let request = Client::new()
        .post(toy.url("/graphql"))
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
    let toy = Toy::start().await;
    let get = Client::new().get(toy.url(&format!("/graphql?{parameters}")));
    let (status, _, answer) = send(get).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(code(&answer), "BAD_REQUEST");
}

#[rstest]
#[case("text/html")]
#[case("application/json;q=0")]
#[case("application/json; charset=utf-16")]
#[tokio::test]
async fn unacceptable_accept_header_is_406(#[case] accept: &str) {
    let toy = Toy::start().await;
    let (status, _, answer) = send(toy.post(&query("{ me }")).header(ACCEPT, accept)).await;
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
    let toy = Toy::start().await;
    let (status, headers, _) = send(toy.post(&query("{ me }")).header(ACCEPT, accept)).await;
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
    let toy = Toy::start().await;
    let body = query(&text);
    let (status, _, answer) = send(toy.post(&body).header(ACCEPT, GRAPHQL)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.get("data").is_none());
    assert_eq!(code(&answer), expected);

    let (status, _, answer) = send(toy.post(&body).header(ACCEPT, "application/json")).await;
    assert_eq!(status, StatusCode::OK);
    assert!(answer.get("data").is_none());
    assert_eq!(code(&answer), expected);
}

#[rstest]
#[case("mutation($dry: Boolean = true) { __typename increment @skip(if: $dry) }", json!({}))]
#[case("mutation($dry: Boolean! = true) { __typename increment @skip(if: $dry) }", json!({}))]
#[case("mutation($run: Boolean = false) { __typename ...F @include(if: $run) } fragment F on Mutation { increment }", json!({}))]
#[case("mutation($dry: Boolean!) { __typename increment @skip(if: $dry) }", json!({ "dry": true, "other": 1 }))]
#[tokio::test]
async fn default_of_a_variable_decides_skip_and_include(
    #[case] text: &str,
    #[case] variables: Value,
) {
    let toy = Toy::start().await;
    let body = json!({ "query": text, "variables": variables });
    let (status, _, answer) = send(toy.post(&body).header(ACCEPT, GRAPHQL)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer, json!({ "data": { "__typename": "Mutation" } }));
    assert_eq!(toy.count(), 0);
}

#[rstest]
#[case("mutation($dry: Boolean!) { increment @skip(if: $dry) }", json!({}))]
#[case("mutation($dry: Boolean!) { increment @skip(if: $dry) }", json!({ "dry": null }))]
#[case("mutation($dry: Boolean! = true) { increment @skip(if: $dry) }", json!({ "dry": null }))]
#[tokio::test]
async fn missing_variable_refuses_the_operation(#[case] text: &str, #[case] variables: Value) {
    let toy = Toy::start().await;
    let body = json!({ "query": text, "variables": variables });
    let (status, _, answer) = send(toy.post(&body).header(ACCEPT, GRAPHQL)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.get("data").is_none());
    assert_eq!(code(&answer), "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(answer["errors"][0]["extensions"]["variable"], "dry");
    assert_eq!(
        answer["errors"][0]["locations"],
        json!([{ "line": 1, "column": 10 }])
    );
    assert_eq!(toy.count(), 0);
}

#[tokio::test]
async fn failed_field_is_200_with_data() {
    let toy = Toy::start().await;
    let (status, _, answer) = send(toy.post(&query("{ fail }")).header(ACCEPT, GRAPHQL)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["data"], Value::Null);
    assert!(answer.as_object().expect("an object").contains_key("data"));
    assert_eq!(answer["errors"][0]["path"], json!(["fail"]));
}

#[tokio::test]
async fn errors_do_not_repeat_the_input() {
    let toy = Toy::start().await;
    let bodies = [
        query(r#"mutation { signIn(password: "hunter2" }"#),
        query(r#"mutation { signIn(password: "hunter2) }"#),
        query("mutation { signIn(password: hunter2) }"),
        query(r#"query($p: String = "hunter2") { number(value: $p) }"#),
        json!({
            "query": "query($p: Int!) { number(value: $p) }",
            "variables": { "p": "hunter2" },
        }),
        json!({
            "query": "mutation($p: String!) { signIn(password: $p) }",
            "variables": { "p": ["hunter2"] },
        }),
    ];
    for body in bodies {
        let (_, _, answer) = send(toy.post(&body)).await;
        assert!(answer["errors"].is_array(), "{body}: {answer}");
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }
}

#[tokio::test]
async fn response_to_a_monstrous_query_is_short() {
    let toy = Toy::start().await;
    let directives = format!("{{ me {} }}", "@skip(if: false) ".repeat(10_000));
    let unknown_fields = format!("{{ {} }}", "u ".repeat(200));
    let one_name = format!("{{ {} }}", "u".repeat(100_000));
    for text in [directives, unknown_fields, one_name] {
        let response = soon(toy.post(&query(&text)).send())
            .await
            .expect("an answer");
        let body = soon(response.text()).await.expect("a body");
        assert!(body.len() < 3_000, "{} bytes", body.len());
        assert!(body.contains("errors"));
    }
}

#[tokio::test]
async fn bearer_token_identifies_the_user() {
    let toy = Toy::start().await;
    let me = query("{ me }");
    let (_, _, answer) = send(toy.post(&me).bearer_auth(ALICE)).await;
    assert_eq!(answer["data"]["me"], "00000000-0000-0000-0000-000000000001");
    for request in [
        toy.post(&me),
        toy.post(&me).bearer_auth("nonsense"),
        toy.post(&me).basic_auth("alice", Some(ALICE)),
    ] {
        let (status, _, answer) = send(request).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer, json!({ "data": { "me": null } }));
    }
}

#[tokio::test]
async fn failed_session_lookup_is_503() {
    let toy = Toy::start().await;
    let (status, _, answer) = send(toy.post(&query("{ me }")).bearer_auth(UNLUCKY)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(code(&answer), "SERVICE_UNAVAILABLE");
    assert!(!answer.to_string().contains("away"));
}

#[tokio::test]
async fn operations_have_time_limits() {
    let short = |settings: &mut ServerOptions| {
        settings.query_timeout = std::time::Duration::from_millis(20);
        settings.mutation_timeout = std::time::Duration::from_millis(20);
    };
    let toy = Toy::with(short).await;
    for text in ["{ wait }", "mutation { wait }"] {
        let (status, _, answer) = send(toy.post(&query(text))).await;
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(code(&answer), "EXECUTION_TIMEOUT");
    }
}

#[tokio::test]
async fn slow_fields_have_more_time_and_subscriptions_no_limit() {
    let toy = Toy::with(|settings| {
        settings.query_timeout = std::time::Duration::from_millis(1);
        settings.mutation_timeout = std::time::Duration::from_millis(1);
    })
    .await;
    let (_, _, answer) = send(toy.post(&query("{ report }"))).await;
    assert_eq!(answer, json!({ "data": { "report": 0 } }));
    let post = toy.post(&query("subscription { late }"));
    let response = soon(post.header(ACCEPT, "text/event-stream").send()).await;
    let text = soon(response.expect("an answer").text()).await;
    assert!(text.expect("a body").contains(r#"{"data":{"late":1}}"#));
}

#[tokio::test]
async fn values_are_counted_before_they_are_parsed() {
    let toy = Toy::start().await;
    let flood = format!("[{}]", "0,".repeat(500_000).trim_end_matches(','));
    let body = format!(r#"{{"query":"{{ me }}","variables":{{"a":{flood}}}}}"#);
    let post = Client::new()
        .post(toy.url("/graphql"))
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    let (status, _, answer) = send(post).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer["errors"][0]["message"],
        "The request has too many values: at most 2000."
    );
    let variables = format!("[{}0]", "0,".repeat(3_000));
    let url = toy.get_url(&[("query", "{ me }"), ("variables", &variables)]);
    let (status, _, answer) = send(Client::new().get(url)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(code(&answer), "BAD_REQUEST");
}

#[tokio::test]
async fn panic_is_500_with_the_request_id() {
    let toy = Toy::start().await;
    let (status, headers, answer) = send(toy.post(&query("{ panic }"))).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(code(&answer), "INTERNAL");
    let message = answer["errors"][0]["message"].as_str().expect("a message");
    let request_id = headers["x-request-id"].to_str().expect("text");
    assert!(message.contains(request_id) && !message.contains("on purpose"));
}

#[tokio::test]
async fn every_response_has_a_request_id_and_security_headers() {
    let toy = Toy::start().await;
    let (_, headers, answer) = send(toy.post(&query("{ requestId peer }"))).await;
    assert_eq!(
        answer["data"]["requestId"].as_str(),
        headers["x-request-id"].to_str().ok()
    );
    assert_eq!(answer["data"]["peer"], "127.0.0.1");
    for path in ["/graphql", "/nowhere", "/health/live", "/extra"] {
        let response = soon(reqwest::get(toy.url(path))).await.expect("an answer");
        let headers = response.headers();
        assert_eq!(headers["x-content-type-options"], "nosniff", "{path}");
        assert_eq!(headers["x-frame-options"], "DENY", "{path}");
        assert!(headers.contains_key("content-security-policy"), "{path}");
        assert!(headers.contains_key("x-request-id"), "{path}");
    }
}

#[tokio::test]
async fn unknown_path_is_404() {
    let toy = Toy::start().await;
    let (status, _, answer) = send(Client::new().get(toy.url("/nowhere"))).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert_eq!(code(&answer), "NOT_FOUND");

    let response = soon(reqwest::get(toy.url("/extra")))
        .await
        .expect("an answer");
    assert_eq!(response.headers()["cache-control"], "max-age=60");
    assert_eq!(soon(response.text()).await.expect("a body"), "extra");
}

#[tokio::test]
async fn health_check_lists_problems() {
    let address = ([127, 0, 0, 1], 0).into();
    let problem = Problem {
        part: "database",
        problem: "It is away.",
    };
    let toy = Toy::listening(address, ServerOptions::default(), vec![problem]).await;
    let (status, _, answer) = send(Client::new().get(toy.url("/health/live"))).await;
    assert_eq!(
        (status, answer),
        (StatusCode::OK, json!({ "status": "ok" }))
    );
    let (status, _, answer) = send(Client::new().get(toy.url("/health/ready"))).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(
        answer,
        json!({ "status": "unavailable", "problems": { "database": "It is away." } })
    );

    let toy = Toy::start().await;
    let (status, _, _) = send(Client::new().get(toy.url("/health/ready"))).await;
    assert_eq!(status, StatusCode::OK);
}
