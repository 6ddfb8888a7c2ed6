//! Documents by hash or id: automatic persisted queries, and trusted documents.

use reqwest::{
    Client as Http, StatusCode,
    header::{ACCEPT, CACHE_CONTROL},
};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::{
    test_accounts::ALICE,
    test_server::{TestServer, within_deadline},
    websocket_client::Client,
};

const LENGTH: &str = "query Length($text: String!) { length(text: $text) }";
const GRAPHQL: &str = "application/graphql-response+json";

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn extensions(text: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash(text) } })
}

fn code(answer: &Value) -> &str {
    let error = answer["errors"].get(0).unwrap_or(&answer["payload"][0]);
    error["extensions"]["code"].as_str().expect("a code")
}

async fn post(server: &TestServer, body: &Value, accept: &str) -> (StatusCode, Value) {
    let response = within_deadline(server.post(body).header(ACCEPT, accept).send()).await;
    let response = response.expect("an answer");
    let status = response.status();
    (
        status,
        within_deadline(response.json()).await.expect("JSON"),
    )
}

#[rstest]
#[tokio::test]
async fn unknown_hash_asks_for_the_text_once(#[values("application/json", GRAPHQL)] accept: &str) {
    let server = TestServer::start().await;
    let by_hash = json!({ "extensions": extensions(LENGTH), "variables": { "text": "four" } });
    let (status, answer) = post(&server, &by_hash, accept).await;
    // Clients know the message or the code, and only in a 200.
    assert_eq!(status, StatusCode::OK);
    assert_eq!(answer["errors"][0]["message"], "PersistedQueryNotFound");
    assert_eq!(code(&answer), "PERSISTED_QUERY_NOT_FOUND");

    let mut with_text = by_hash.clone();
    with_text["query"] = LENGTH.into();
    for body in [with_text, by_hash] {
        let (status, answer) = post(&server, &body, accept).await;
        assert_eq!(status, StatusCode::OK);
        assert_eq!(answer, json!({ "data": { "length": 4 } }));
    }
}

#[tokio::test]
async fn hash_by_get_is_not_cacheable() {
    let server = TestServer::start().await;
    let extensions = extensions(LENGTH).to_string();
    let get = || {
        Http::new().get(server.get_url(&[
            ("operationName", "Length"),
            ("variables", r#"{"text":"four"}"#),
            ("extensions", &extensions),
        ]))
    };
    for found in [false, true] {
        let response = within_deadline(get().send()).await.expect("an answer");
        // Responses belong to a user, and a missing document may be found next time.
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        let answer: Value = within_deadline(response.json()).await.expect("JSON");
        assert_eq!(answer["data"]["length"] == 4, found, "{answer}");
        let text = json!({ "query": LENGTH, "extensions": serde_json::from_str::<Value>(&extensions).expect("JSON"), "variables": { "text": "" } });
        post(&server, &text, GRAPHQL).await;
    }
    let id = format!("sha256:{}", hash(LENGTH));
    let url = server.get_url(&[("documentId", &id), ("variables", r#"{"text":"four"}"#)]);
    let response = within_deadline(Http::new().get(url).send())
        .await
        .expect("an answer");
    let answer: Value = within_deadline(response.json()).await.expect("JSON");
    assert_eq!(answer, json!({ "data": { "length": 4 } }));
}

#[tokio::test]
async fn mutation_by_get_is_405_also_by_hash() {
    let server = TestServer::start().await;
    let text = "mutation { increment }";
    let body = json!({ "query": text, "extensions": extensions(text) });
    let (_, answer) = post(&server, &body, GRAPHQL).await;
    assert_eq!(answer, json!({ "data": { "increment": 1 } }));
    let url = server.get_url(&[("extensions", &extensions(text).to_string())]);
    let response = within_deadline(Http::new().get(url).send())
        .await
        .expect("an answer");
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(server.count(), 1);
}

#[rstest]
#[case(json!({ "query": "{ me }", "extensions": extensions(LENGTH) }), StatusCode::BAD_REQUEST, "PERSISTED_QUERY_HASH_MISMATCH")]
#[case(json!({ "query": "{ me }", "documentId": "custom" }), StatusCode::BAD_REQUEST, "PERSISTED_QUERY_HASH_MISMATCH")]
#[case(json!({ "documentId": "custom" }), StatusCode::OK, "PERSISTED_QUERY_NOT_FOUND")]
#[case(json!({ "extensions": { "persistedQuery": { "version": 2 } } }), StatusCode::OK, "PERSISTED_QUERY_NOT_SUPPORTED")]
#[case(json!({ "extensions": { "persistedQuery": { "version": 1 } } }), StatusCode::BAD_REQUEST, "BAD_REQUEST")]
#[case(json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": 7 } } }), StatusCode::BAD_REQUEST, "BAD_REQUEST")]
#[case(json!({ "extensions": { "persistedQuery": "hash" } }), StatusCode::BAD_REQUEST, "BAD_REQUEST")]
#[case(json!({ "documentId": 7 }), StatusCode::BAD_REQUEST, "BAD_REQUEST")]
#[tokio::test]
async fn unknown_documents_are_refused(
    #[case] body: Value,
    #[case] status: StatusCode,
    #[case] expected: &str,
) {
    let server = TestServer::start().await;
    let (answered, answer) = post(&server, &body, GRAPHQL).await;
    assert_eq!((answered, code(&answer)), (status, expected), "{answer}");
}

#[tokio::test]
async fn hash_is_accepted_on_event_streams_and_sockets() {
    let server = TestServer::start().await;
    let text = "subscription Count($to: Int!) { count(to: $to) }";
    let by_hash = json!({ "extensions": extensions(text), "variables": { "to": 1 } });
    let (_, answer) = post(&server, &by_hash, "text/event-stream").await;
    assert_eq!(code(&answer), "PERSISTED_QUERY_NOT_FOUND");

    let mut client = Client::init(&server, json!({ "authorization": ALICE })).await;
    let mut ask = json!({ "type": "subscribe", "id": "1", "payload": by_hash });
    client.send(ask.clone()).await;
    let error = client.next().await;
    assert_eq!(error["type"], "error");
    assert_eq!(code(&error), "PERSISTED_QUERY_NOT_FOUND");
    ask["payload"]["query"] = text.into();
    for _ in 0..2 {
        client.send(ask.clone()).await;
        assert_eq!(client.next().await["payload"]["data"]["count"], 1);
        assert_eq!(client.next().await["type"], "complete");
        ask["payload"]
            .as_object_mut()
            .expect("an object")
            .remove("query");
    }
    let post = server.post(&by_hash).header(ACCEPT, "text/event-stream");
    let events = within_deadline(post.send())
        .await
        .expect("an answer")
        .text();
    assert!(
        within_deadline(events)
            .await
            .expect("a body")
            .contains(r#"{"count":1}"#)
    );
}
