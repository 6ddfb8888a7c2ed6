//! Completion of results over HTTP.

use serde_json::json;

use crate::test_server::{TestServer, within_deadline};

#[tokio::test]
async fn failed_field_nulls_data_and_empty_object_is_present() {
    let server = TestServer::start().await;
    let query =
        "{ b: number(value: 2) node { ... @skip(if: true) { name } } fail a: number(value: 1) }";
    let answer = within_deadline(server.post(&json!({ "query": query })).send()).await;
    let text = within_deadline(answer.expect("an answer").text())
        .await
        .expect("text");
    assert!(
        text.starts_with(r#"{"data":null,"errors":"#),
        "`fail` must not be null: {text}"
    );
    let query = "{ b: number(value: 2) node { ... @skip(if: true) { name } } a: number(value: 1) }";
    let answer = within_deadline(server.post(&json!({ "query": query })).send()).await;
    let text = within_deadline(answer.expect("an answer").text())
        .await
        .expect("text");
    assert_eq!(text, r#"{"data":{"b":2,"node":{},"a":1}}"#);
}
