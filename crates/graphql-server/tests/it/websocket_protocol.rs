//! Messages of graphql-transport-ws and the codes that sockets are closed with.

use rstest::rstest;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::{test_server::TestServer, websocket_client::Client};

pub(crate) fn close(code: u16, reason: &str) -> (u16, String) {
    (code, reason.to_owned())
}

pub(crate) fn next(id: &str, data: &Value) -> Value {
    json!({ "type": "next", "id": id, "payload": { "data": data } })
}

fn complete(id: &str) -> Value {
    json!({ "type": "complete", "id": id })
}

#[tokio::test]
async fn subscription_is_streamed_and_completed() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    client
        .send(json!({
            "type": "subscribe",
            "id": "1",
            "payload": {
                "query": "query Other { me } subscription Count($to: Int!) { count(to: $to) }",
                "operationName": "Count",
                "variables": { "to": 2 },
                "extensions": null,
            },
        }))
        .await;
    assert_eq!(client.next().await, next("1", &json!({ "count": 1 })));
    assert_eq!(client.next().await, next("1", &json!({ "count": 2 })));
    assert_eq!(client.next().await, complete("1"));
}

#[tokio::test]
async fn close_frame_is_answered_with_the_same_code() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    client.subscribe("1", "subscription { never }").await;
    let goodbye = CloseFrame {
        code: 1000.into(),
        reason: "Normal Closure".into(),
    };
    client.send_message(Message::Close(Some(goodbye))).await;
    assert_eq!(client.closed().await, close(1000, "Normal Closure"));
}

#[tokio::test]
async fn queries_and_mutations_run_on_a_socket() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, Value::Null).await;
    client.subscribe("q", r#"{ length(text: "four") }"#).await;
    assert_eq!(client.next().await, next("q", &json!({ "length": 4 })));
    assert_eq!(client.next().await, complete("q"));
    client.subscribe("m", "mutation { increment }").await;
    assert_eq!(client.next().await, next("m", &json!({ "increment": 1 })));
    assert_eq!(client.next().await, complete("m"));
}

#[rstest]
#[case("{")]
#[case("")]
#[case("null")]
#[case("[]")]
#[case(r#""connection_init""#)]
#[case(r#"{"id":"1"}"#)]
#[case(r#"{"type":"hunter2"}"#)]
#[case(r#"{"type":"next","id":"1","payload":{}}"#)]
#[case(r#"{"type":"connection_ack"}"#)]
#[case(r#"{"type":"connection_init","payload":"hunter2"}"#)]
#[case(r#"{"type":"ping","payload":1}"#)]
#[case(r#"{"type":"subscribe","payload":{"query":"{ me }"}}"#)]
#[case(r#"{"type":"subscribe","id":"","payload":{"query":"{ me }"}}"#)]
#[case(r#"{"type":"subscribe","id":1,"payload":{"query":"{ me }"}}"#)]
#[case(r#"{"type":"subscribe","id":"1"}"#)]
#[case(r#"{"type":"subscribe","id":"1","payload":{"query":5}}"#)]
#[case(r#"{"type":"subscribe","id":"1","payload":{"query":"{ me }","variables":[]}}"#)]
#[case(r#"{"type":"complete"}"#)]
#[tokio::test]
async fn malformed_message_closes_socket_with_4400(
    #[case] text: &str,
    #[values(true, false)] acknowledged: bool,
) {
    let server = TestServer::start().await;
    let mut client = if acknowledged {
        Client::init(&server, json!({})).await
    } else {
        Client::connect(&server).await
    };
    client.send_text(text).await;
    assert_eq!(
        client.closed().await,
        close(4400, "Invalid message received")
    );
}

#[tokio::test]
async fn binary_message_closes_socket_with_4400() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let message = Message::binary(br#"{"type":"connection_init"}"#.to_vec());
    client.send_message(message).await;
    assert_eq!(
        client.closed().await,
        close(4400, "Invalid message received")
    );
}

#[tokio::test]
async fn used_id_closes_socket_with_4409() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    client.subscribe("one", "subscription { never }").await;
    client.subscribe("one", "{ me }").await;
    assert_eq!(
        client.closed().await,
        close(4409, "Subscriber for one already exists")
    );

    let mut client = Client::init(&server, json!({})).await;
    let long = "é".repeat(120);
    client.subscribe(&long, "subscription { never }").await;
    client.subscribe(&long, "{ me }").await;
    let (code, reason) = client.closed().await;
    assert_eq!(code, 4409);
    assert!(reason.len() <= 123 && reason.starts_with("Subscriber for éé"));
}

#[tokio::test]
async fn id_can_be_used_again_after_complete() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    for _ in 0..3 {
        client.subscribe("1", "subscription { count(to: 1) }").await;
        assert_eq!(client.next().await, next("1", &json!({ "count": 1 })));
        assert_eq!(client.next().await, complete("1"));
    }
    for _ in 0..3 {
        client.subscribe("1", "subscription { once }").await;
        assert_eq!(client.next().await, next("1", &json!({ "once": 1 })));
        client.send(complete("1")).await;
    }
    client.assert_silent().await;
}

#[rstest]
#[case("{ unknown }", "GRAPHQL_VALIDATION_FAILED")]
#[case("subscription { count(to: \"hunter2\") }", "GRAPHQL_VALIDATION_FAILED")]
#[case("subscription { never again: never }", "GRAPHQL_VALIDATION_FAILED")]
#[case(
    "subscription { ...F } fragment F on Subscription { never }",
    "GRAPHQL_VALIDATION_FAILED"
)]
#[case("{ hunter2", "GRAPHQL_PARSE_FAILED")]
#[case(
    "{ node { node { node { node { node { node { node { node { name } } } } } } } } }",
    "QUERY_TOO_COMPLEX"
)]
#[tokio::test]
async fn invalid_query_gets_error_without_complete(#[case] query: &str, #[case] code: &str) {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    client.subscribe("1", query).await;
    let error = client.next().await;
    assert_eq!(error["type"], "error");
    assert_eq!(error["id"], "1");
    assert_eq!(error["payload"][0]["extensions"]["code"], code);
    assert!(!error.to_string().contains("hunter2"));
    client.assert_silent().await;
    client.subscribe("1", "{ me }").await;
    assert_eq!(client.next().await, next("1", &json!({ "me": null })));
}

#[tokio::test]
async fn failing_subscription_ends_with_its_error() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    client.subscribe("1", "subscription { broken }").await;
    let failed = client.next().await;
    assert_eq!(failed["type"], "next");
    assert_eq!(failed["payload"]["errors"][0]["message"], "no such thing");
    assert_eq!(client.next().await, complete("1"));
}

#[tokio::test]
async fn panic_ends_only_its_operation() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    client.subscribe("other", "subscription { once }").await;
    assert_eq!(client.next().await, next("other", &json!({ "once": 1 })));
    client.subscribe("1", "subscription { panic }").await;
    assert_eq!(client.next().await, next("1", &json!({ "panic": 1 })));
    let error = client.next().await;
    assert_eq!(error["type"], "error");
    assert_eq!(error["payload"][0]["extensions"]["code"], "INTERNAL");
    client.assert_silent().await;
}

#[tokio::test]
async fn complete_of_the_client_is_not_echoed() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    client.send(complete("unknown")).await;
    client.assert_silent().await;
    client.subscribe("1", "subscription { never }").await;
    client.send(complete("1")).await;
    client.assert_silent().await;
}

#[tokio::test]
async fn ping_is_answered_with_its_payload() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({ "type": "ping" })).await;
    assert_eq!(client.next().await, json!({ "type": "pong" }));
    client
        .send(json!({ "type": "ping", "payload": { "a": [1, null] } }))
        .await;
    let pong = json!({ "type": "pong", "payload": { "a": [1, null] } });
    assert_eq!(client.next().await, pong);
    client
        .send(json!({ "type": "pong", "payload": { "a": 1 } }))
        .await;
    client.assert_silent().await;
}

#[tokio::test]
async fn operations_of_a_socket_run_concurrently() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    client
        .subscribe("busy", "subscription { count(to: 1000000) }")
        .await;
    client.subscribe("2", "{ me }").await;
    let mut seen = 0;
    loop {
        let message = client.next().await;
        if message["id"] == "2" {
            break;
        }
        seen += 1;
        assert!(seen < 100_000, "the busy operation starves the other");
    }
}
