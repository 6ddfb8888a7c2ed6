//! Execution: variables, errors and limits.

use graphql_server::ServerOptions;
use reqwest::{
    Client, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use rstest::rstest;
use serde_json::{Value, json};

use crate::test_server::{TestServer, within_deadline};

use crate::requests::{GRAPHQL, code, query, send};

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
    let server = TestServer::start().await;
    let body = json!({ "query": text, "variables": variables });
    let (status, _, answer) = send(server.post(&body).header(ACCEPT, GRAPHQL)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer, json!({ "data": { "__typename": "Mutation" } }));
    assert_eq!(server.count(), 0);
}

#[rstest]
#[case("mutation($dry: Boolean!) { increment @skip(if: $dry) }", json!({}))]
#[case("mutation($dry: Boolean!) { increment @skip(if: $dry) }", json!({ "dry": null }))]
#[case("mutation($dry: Boolean! = true) { increment @skip(if: $dry) }", json!({ "dry": null }))]
#[tokio::test]
async fn missing_variable_refuses_the_operation(#[case] text: &str, #[case] variables: Value) {
    let server = TestServer::start().await;
    let body = json!({ "query": text, "variables": variables });
    let (status, _, answer) = send(server.post(&body).header(ACCEPT, GRAPHQL)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.get("data").is_none());
    assert_eq!(code(&answer), "GRAPHQL_VALIDATION_FAILED");
    assert_eq!(answer["errors"][0]["extensions"]["variable"], "dry");
    assert_eq!(
        answer["errors"][0]["locations"],
        json!([{ "line": 1, "column": 10 }])
    );
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn failed_field_is_200_with_data() {
    let server = TestServer::start().await;
    let (status, _, answer) = send(server.post(&query("{ fail }")).header(ACCEPT, GRAPHQL)).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["data"], Value::Null);
    assert!(answer.as_object().expect("an object").contains_key("data"));
    assert_eq!(answer["errors"][0]["path"], json!(["fail"]));
}

#[tokio::test]
async fn errors_do_not_repeat_the_input() {
    let server = TestServer::start().await;
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
        let (_, _, answer) = send(server.post(&body)).await;
        assert!(answer["errors"].is_array(), "{body}: {answer}");
        assert!(!answer.to_string().contains("hunter2"), "{answer}");
    }
}

#[tokio::test]
async fn response_to_a_monstrous_query_is_short() {
    let server = TestServer::start().await;
    let directives = format!("{{ me {} }}", "@skip(if: false) ".repeat(10_000));
    let unknown_fields = format!("{{ {} }}", "u ".repeat(200));
    let one_name = format!("{{ {} }}", "u".repeat(100_000));
    for text in [directives, unknown_fields, one_name] {
        let response = within_deadline(server.post(&query(&text)).send())
            .await
            .expect("an answer");
        let body = within_deadline(response.text()).await.expect("a body");
        assert!(body.len() < 3_000, "{} bytes", body.len());
        assert!(body.contains("errors"));
    }
}

#[tokio::test]
async fn operations_have_time_limits() {
    let short = |settings: &mut ServerOptions| {
        settings.query_timeout = std::time::Duration::from_millis(20);
        settings.mutation_timeout = std::time::Duration::from_millis(20);
    };
    let server = TestServer::with(short).await;
    for text in ["{ wait }", "mutation { wait }"] {
        let (status, _, answer) = send(server.post(&query(text))).await;
        assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(code(&answer), "EXECUTION_TIMEOUT");
    }
}

#[tokio::test]
async fn slow_fields_have_more_time_and_subscriptions_no_limit() {
    let server = TestServer::with(|settings| {
        settings.query_timeout = std::time::Duration::from_millis(1);
        settings.mutation_timeout = std::time::Duration::from_millis(1);
    })
    .await;
    let (_, _, answer) = send(server.post(&query("{ report }"))).await;
    assert_eq!(answer, json!({ "data": { "report": 0 } }));
    let post = server.post(&query("subscription { late }"));
    let response = within_deadline(post.header(ACCEPT, "text/event-stream").send()).await;
    let text = within_deadline(response.expect("an answer").text()).await;
    assert!(text.expect("a body").contains(r#"{"data":{"late":1}}"#));
}

#[tokio::test]
async fn values_are_counted_before_they_are_parsed() {
    let server = TestServer::start().await;
    let flood = format!("[{}]", "0,".repeat(500_000).trim_end_matches(','));
    let body = format!(r#"{{"query":"{{ me }}","variables":{{"a":{flood}}}}}"#);
    let post = Client::new()
        .post(server.url("/graphql"))
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    let (status, _, answer) = send(post).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(
        answer["errors"][0]["message"],
        "The request has too many values: at most 2000."
    );
    let variables = format!("[{}0]", "0,".repeat(3_000));
    let url = server.get_url(&[("query", "{ me }"), ("variables", &variables)]);
    let (status, _, answer) = send(Client::new().get(url)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert_eq!(code(&answer), "BAD_REQUEST");
}

#[tokio::test]
async fn panic_is_500_with_the_request_id() {
    let server = TestServer::start().await;
    let (status, headers, answer) = send(server.post(&query("{ panic }"))).await;
    assert_eq!(status, StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(code(&answer), "INTERNAL");
    let message = answer["errors"][0]["message"].as_str().expect("a message");
    let request_id = headers["x-request-id"].to_str().expect("text");
    assert!(message.contains(request_id) && !message.contains("on purpose"));
}
