//! Completion of answers over the transports.

use serde_json::json;

use crate::toy::{Toy, soon};

#[tokio::test]
async fn failed_field_nulls_data_and_empty_object_is_present() {
    let toy = Toy::start().await;
    let query =
        "{ b: number(value: 2) node { ... @skip(if: true) { name } } fail a: number(value: 1) }";
    let answer = soon(toy.post(&json!({ "query": query })).send()).await;
    let text = soon(answer.expect("an answer").text()).await.expect("text");
    assert!(
        text.starts_with(r#"{"data":null,"errors":"#),
        "`fail` must not be null: {text}"
    );
    let query = "{ b: number(value: 2) node { ... @skip(if: true) { name } } a: number(value: 1) }";
    let answer = soon(toy.post(&json!({ "query": query })).send()).await;
    let text = soon(answer.expect("an answer").text()).await.expect("text");
    assert_eq!(text, r#"{"data":{"b":2,"node":{},"a":1}}"#);
}
