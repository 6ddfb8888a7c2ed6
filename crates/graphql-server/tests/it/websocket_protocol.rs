//! graphql-transport-ws, message by message: what is answered, and with which code a socket is closed.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::{Message, protocol::CloseFrame};

use crate::{
    toy::{ALICE, BOB, SLOW, Toy, UNLUCKY},
    websocket_client::Client,
};

fn close(code: u16, reason: &str) -> (u16, String) {
    (code, reason.to_owned())
}

fn next(id: &str, data: &Value) -> Value {
    json!({ "type": "next", "id": id, "payload": { "data": data } })
}

fn complete(id: &str) -> Value {
    json!({ "type": "complete", "id": id })
}

#[tokio::test]
async fn subscription_is_streamed_and_completed() {
    let toy = Toy::start().await;
    let mut client = Client::init(&toy, json!({})).await;
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
    let toy = Toy::start().await;
    let mut client = Client::init(&toy, json!({})).await;
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
    let toy = Toy::start().await;
    let mut client = Client::init(&toy, Value::Null).await;
    client.subscribe("q", r#"{ length(text: "four") }"#).await;
    assert_eq!(client.next().await, next("q", &json!({ "length": 4 })));
    assert_eq!(client.next().await, complete("q"));
    client.subscribe("m", "mutation { increment }").await;
    assert_eq!(client.next().await, next("m", &json!({ "increment": 1 })));
    assert_eq!(client.next().await, complete("m"));
}

#[rstest]
#[case(&[])]
#[case(&[("sec-websocket-protocol", "graphql-ws")])]
#[tokio::test]
async fn missing_or_unknown_subprotocol_closes_socket_with_4406(
    #[case] headers: &[(&'static str, &str)],
) {
    let toy = Toy::start().await;
    // A client that offered a subprotocol refuses a handshake that selects none, so speak HTTP.
    let mut client = match headers {
        [] => Client::handshake(&toy, headers).await.expect("a socket"),
        _ => Client::raw(&toy, headers).await,
    };
    assert_eq!(
        client.closed().await,
        close(4406, "Subprotocol not acceptable")
    );
}

#[tokio::test]
async fn subprotocol_is_found_among_others() {
    let toy = Toy::start().await;
    let offer = ("sec-websocket-protocol", "graphql-ws, graphql-transport-ws");
    let mut client = Client::handshake(&toy, &[offer]).await.expect("a socket");
    client.is_quiet().await;
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
    let toy = Toy::start().await;
    let mut client = if acknowledged {
        Client::init(&toy, json!({})).await
    } else {
        Client::connect(&toy).await
    };
    client.send_text(text).await;
    assert_eq!(
        client.closed().await,
        close(4400, "Invalid message received")
    );
}

#[tokio::test]
async fn binary_message_closes_socket_with_4400() {
    let toy = Toy::start().await;
    let mut client = Client::connect(&toy).await;
    let message = Message::binary(br#"{"type":"connection_init"}"#.to_vec());
    client.send_message(message).await;
    assert_eq!(
        client.closed().await,
        close(4400, "Invalid message received")
    );
}

#[tokio::test]
async fn missing_connection_init_closes_socket_with_4408() {
    let soon = Duration::from_millis(50);
    let toy = Toy::with(|settings| settings.socket_init_timeout = soon).await;
    let mut client = Client::connect(&toy).await;
    assert_eq!(
        client.closed().await,
        close(4408, "Connection initialisation timeout")
    );
}

#[rstest]
#[case(json!({}))]
#[case(json!({ "authorization": SLOW }))]
#[tokio::test]
async fn second_connection_init_closes_socket_with_4429(#[case] payload: Value) {
    let toy = Toy::start().await;
    let mut client = Client::connect(&toy).await;
    let is_slow = payload.get("authorization").is_some();
    client
        .send(json!({ "type": "connection_init", "payload": payload }))
        .await;
    if !is_slow {
        assert_eq!(client.next().await, json!({ "type": "connection_ack" }));
    }
    client.send(json!({ "type": "connection_init" })).await;
    assert_eq!(
        client.closed().await,
        close(4429, "Too many initialisation requests")
    );
}

#[tokio::test]
async fn subscribe_before_acknowledgement_closes_socket_with_4401() {
    let toy = Toy::start().await;
    let mut client = Client::connect(&toy).await;
    client.subscribe("1", "{ me }").await;
    assert_eq!(client.closed().await, close(4401, "Unauthorized"));

    let mut client = Client::connect(&toy).await;
    let payload = json!({ "authorization": SLOW });
    client
        .send(json!({ "type": "connection_init", "payload": payload }))
        .await;
    client.subscribe("1", "{ me }").await;
    assert_eq!(client.closed().await, close(4401, "Unauthorized"));
}

#[rstest]
#[case(json!({ "authorization": "Bearer nonsense" }))]
#[case(json!({ "authorization": "nonsense" }))]
#[case(json!({ "authorization": "" }))]
#[case(json!({ "authorization": "Bearer" }))]
#[case(json!({ "authorization": "Basic YTpi" }))]
#[case(json!({ "authorization": 5 }))]
#[case(json!({ "authorization": { "token": "x" } }))]
#[tokio::test]
async fn bad_credentials_close_socket_with_4403(#[case] payload: Value) {
    let toy = Toy::start().await;
    let mut client = Client::connect(&toy).await;
    client
        .send(json!({ "type": "connection_init", "payload": payload }))
        .await;
    assert_eq!(client.closed().await, close(4403, "Forbidden"));
}

#[tokio::test]
async fn failed_session_lookup_closes_socket_with_1013() {
    let toy = Toy::start().await;
    let mut client = Client::connect(&toy).await;
    let payload = json!({ "authorization": UNLUCKY });
    client
        .send(json!({ "type": "connection_init", "payload": payload }))
        .await;
    assert_eq!(client.closed().await, close(1013, "Try again later"));
}

#[rstest]
#[case(json!({ "authorization": format!("Bearer {ALICE}") }), None, Some(1))]
#[case(json!({ "authorization": ALICE }), None, Some(1))]
#[case(json!({ "Authorization": format!("bearer {ALICE}") }), None, Some(1))]
#[case(json!({ "authorization": null }), None, None)]
#[case(json!({}), Some(BOB), Some(2))]
#[case(json!({ "authorization": ALICE }), Some(BOB), Some(1))]
#[case(json!({ "authorization": ALICE }), Some("nonsense"), Some(1))]
#[tokio::test]
async fn token_in_the_payload_precedes_token_of_the_handshake(
    #[case] payload: Value,
    #[case] header: Option<&str>,
    #[case] user: Option<u128>,
) {
    let toy = Toy::start().await;
    let authorization = header.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("sec-websocket-protocol", "graphql-transport-ws")];
    headers.extend(
        authorization
            .as_deref()
            .map(|value| ("authorization", value)),
    );
    let mut client = Client::handshake(&toy, &headers).await.expect("a socket");
    client
        .send(json!({ "type": "connection_init", "payload": payload }))
        .await;
    assert_eq!(client.next().await, json!({ "type": "connection_ack" }));
    client.subscribe("1", "{ me }").await;
    let me = user.map(|user| uuid::Uuid::from_u128(user).to_string());
    assert_eq!(client.next().await, next("1", &json!({ "me": me })));
}

#[tokio::test]
async fn bad_token_in_the_handshake_closes_socket_with_4403() {
    let toy = Toy::start().await;
    let headers = [
        ("sec-websocket-protocol", "graphql-transport-ws"),
        ("authorization", "Bearer nonsense"),
    ];
    let mut client = Client::handshake(&toy, &headers).await.expect("a socket");
    client.send(json!({ "type": "connection_init" })).await;
    assert_eq!(client.closed().await, close(4403, "Forbidden"));
}

#[tokio::test]
async fn used_id_closes_socket_with_4409() {
    let toy = Toy::start().await;
    let mut client = Client::init(&toy, json!({})).await;
    client.subscribe("one", "subscription { never }").await;
    client.subscribe("one", "{ me }").await;
    assert_eq!(
        client.closed().await,
        close(4409, "Subscriber for one already exists")
    );

    let mut client = Client::init(&toy, json!({})).await;
    let long = "é".repeat(120);
    client.subscribe(&long, "subscription { never }").await;
    client.subscribe(&long, "{ me }").await;
    let (code, reason) = client.closed().await;
    assert_eq!(code, 4409);
    assert!(reason.len() <= 123 && reason.starts_with("Subscriber for éé"));
}

#[tokio::test]
async fn id_can_be_used_again_after_complete() {
    let toy = Toy::start().await;
    let mut client = Client::init(&toy, json!({})).await;
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
    client.is_quiet().await;
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
    let toy = Toy::start().await;
    let mut client = Client::init(&toy, json!({})).await;
    client.subscribe("1", query).await;
    let error = client.next().await;
    assert_eq!(error["type"], "error");
    assert_eq!(error["id"], "1");
    assert_eq!(error["payload"][0]["extensions"]["code"], code);
    assert!(!error.to_string().contains("hunter2"));
    client.is_quiet().await;
    client.subscribe("1", "{ me }").await;
    assert_eq!(client.next().await, next("1", &json!({ "me": null })));
}

#[tokio::test]
async fn failing_subscription_ends_with_its_error() {
    let toy = Toy::start().await;
    let mut client = Client::init(&toy, json!({})).await;
    client.subscribe("1", "subscription { broken }").await;
    let failed = client.next().await;
    assert_eq!(failed["type"], "next");
    assert_eq!(failed["payload"]["errors"][0]["message"], "no such thing");
    assert_eq!(client.next().await, complete("1"));
}

#[tokio::test]
async fn panic_ends_only_its_operation() {
    let toy = Toy::start().await;
    let mut client = Client::init(&toy, json!({})).await;
    client.subscribe("other", "subscription { once }").await;
    assert_eq!(client.next().await, next("other", &json!({ "once": 1 })));
    client.subscribe("1", "subscription { panic }").await;
    assert_eq!(client.next().await, next("1", &json!({ "panic": 1 })));
    let error = client.next().await;
    assert_eq!(error["type"], "error");
    assert_eq!(error["payload"][0]["extensions"]["code"], "INTERNAL");
    client.is_quiet().await;
}

#[tokio::test]
async fn complete_of_the_client_is_not_echoed() {
    let toy = Toy::start().await;
    let mut client = Client::init(&toy, json!({})).await;
    client.send(complete("unknown")).await;
    client.is_quiet().await;
    client.subscribe("1", "subscription { never }").await;
    client.send(complete("1")).await;
    client.is_quiet().await;
}

#[tokio::test]
async fn ping_is_answered_with_its_payload() {
    let toy = Toy::start().await;
    let mut client = Client::connect(&toy).await;
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
    client.is_quiet().await;
}

#[tokio::test]
async fn operations_of_a_socket_run_concurrently() {
    let toy = Toy::start().await;
    let mut client = Client::init(&toy, json!({})).await;
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
