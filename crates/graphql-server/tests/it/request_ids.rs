//! Request ids, set by the server or by a trusted proxy.

use serde_json::{Value, json};

use crate::{
    log::Log,
    test_server::{TestServer, within_deadline},
    websocket_client::Client,
};

const THEIRS: &str = "their-id.1_2";

async fn behind_a_proxy() -> TestServer {
    TestServer::with(|settings| {
        settings.trusted_proxies.0 = vec!["127.0.0.0/8".parse().expect("a network")];
    })
    .await
}

/// Returns the id in the response's header, and the response.
async fn named(server: &TestServer, query: &str, id: &[u8]) -> (String, Value) {
    let request = server.post(&json!({ "query": query }));
    let response = within_deadline(request.header("x-request-id", id).send()).await;
    let response = response.expect("an answer");
    let header = response.headers()["x-request-id"]
        .to_str()
        .expect("text")
        .to_owned();
    (
        header,
        within_deadline(response.json()).await.expect("JSON"),
    )
}

#[tokio::test]
async fn untrusted_request_id_is_logged_but_not_used() {
    let log = Log::new();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = TestServer::start().await;
    let (header, answer) = named(&server, "{ requestId }", THEIRS.as_bytes()).await;
    assert_eq!(header.len(), 36);
    assert_eq!(answer["data"]["requestId"], header);
    let (header, answer) = named(&server, "{ panic }", THEIRS.as_bytes()).await;
    let message = answer["errors"][0]["message"].as_str().expect("a message");
    assert!(
        message.contains(&header) && !message.contains(THEIRS),
        "{message}"
    );
    let text = log.text();
    let ours = format!("request_id={header} client_request_id=\"{THEIRS}\"");
    assert!(text.contains(&ours), "{text}");
    assert!(!text.contains(&format!("request_id={THEIRS}")), "{text}");
    let words = "y".repeat(4000);
    named(&server, "{ me }", words.as_bytes()).await;
    assert!(log.text().contains(&words[..100]) && !log.text().contains(&words[..101]));
}

#[tokio::test]
async fn valid_request_id_of_a_trusted_proxy_is_used() {
    let server = behind_a_proxy().await;
    for fit in [THEIRS, &"x".repeat(64)] {
        let (header, answer) = named(&server, "{ requestId }", fit.as_bytes()).await;
        assert_eq!(header, fit);
        assert_eq!(answer["data"]["requestId"], fit);
    }
    for unfit in ["", "a b", "\u{e9}", &"x".repeat(65), "a\"b", "<script>"] {
        let (header, answer) = named(&server, "{ requestId }", unfit.as_bytes()).await;
        assert_eq!(header.len(), 36, "{unfit:?}");
        assert_eq!(answer["data"]["requestId"], header);
    }
}

/// Returns the id that operations on a socket see.
async fn named_on_a_socket(server: &TestServer) -> String {
    let headers = [
        ("sec-websocket-protocol", "graphql-transport-ws"),
        ("x-request-id", THEIRS),
    ];
    let mut socket = Client::handshake(server, &headers).await.expect("a socket");
    socket.send(json!({ "type": "connection_init" })).await;
    assert_eq!(socket.next().await["type"], "connection_ack");
    socket.subscribe("1", "{ requestId }").await;
    let next = socket.next().await;
    next["payload"]["data"]["requestId"]
        .as_str()
        .expect("an id")
        .to_owned()
}

#[tokio::test]
async fn socket_operations_have_the_handshakes_request_id() {
    assert_eq!(
        named_on_a_socket(&TestServer::start().await).await.len(),
        36
    );
    assert_eq!(named_on_a_socket(&behind_a_proxy().await).await, THEIRS);
}
