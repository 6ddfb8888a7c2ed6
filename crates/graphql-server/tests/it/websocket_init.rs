//! The start of a socket: subprotocol, `connection_init` and credentials.

use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use crate::{
    test_accounts::{ALICE, BOB, SLOW, UNLUCKY},
    test_server::TestServer,
    websocket_client::Client,
};

use crate::websocket_protocol::{close, next};

#[rstest]
#[case(&[])]
#[case(&[("sec-websocket-protocol", "graphql-ws")])]
#[tokio::test]
async fn missing_or_unknown_subprotocol_closes_socket_with_4406(
    #[case] headers: &[(&'static str, &str)],
) {
    let server = TestServer::start().await;
    // tungstenite refuses a handshake that selects no offered subprotocol, so this speaks HTTP.
    let mut client = match headers {
        [] => Client::handshake(&server, headers).await.expect("a socket"),
        _ => Client::raw(&server, headers).await,
    };
    assert_eq!(
        client.closed().await,
        close(4406, "Subprotocol not acceptable")
    );
}

#[tokio::test]
async fn subprotocol_is_found_among_others() {
    let server = TestServer::start().await;
    let offer = ("sec-websocket-protocol", "graphql-ws, graphql-transport-ws");
    let mut client = Client::handshake(&server, &[offer])
        .await
        .expect("a socket");
    client.assert_silent().await;
}

#[tokio::test]
async fn missing_connection_init_closes_socket_with_4408() {
    let within_deadline = Duration::from_millis(50);
    let server = TestServer::with(|settings| settings.socket_init_timeout = within_deadline).await;
    let mut client = Client::connect(&server).await;
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
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
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
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.subscribe("1", "{ me }").await;
    assert_eq!(client.closed().await, close(4401, "Unauthorized"));

    let mut client = Client::connect(&server).await;
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
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client
        .send(json!({ "type": "connection_init", "payload": payload }))
        .await;
    assert_eq!(client.closed().await, close(4403, "Forbidden"));
}

#[tokio::test]
async fn failed_session_lookup_closes_socket_with_1013() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
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
    let server = TestServer::start().await;
    let authorization = header.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("sec-websocket-protocol", "graphql-transport-ws")];
    headers.extend(
        authorization
            .as_deref()
            .map(|value| ("authorization", value)),
    );
    let mut client = Client::handshake(&server, &headers)
        .await
        .expect("a socket");
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
    let server = TestServer::start().await;
    let headers = [
        ("sec-websocket-protocol", "graphql-transport-ws"),
        ("authorization", "Bearer nonsense"),
    ];
    let mut client = Client::handshake(&server, &headers)
        .await
        .expect("a socket");
    client.send(json!({ "type": "connection_init" })).await;
    assert_eq!(client.closed().await, close(4403, "Forbidden"));
}
