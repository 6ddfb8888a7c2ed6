//! Limits of sockets, and their ends.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use rstest::rstest;
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, time::Instant};
use tokio_tungstenite::tungstenite::{Message, http::StatusCode};

use crate::{
    test_accounts::{ALICE, BOB, SESSION_COOKIE},
    test_server::{TestServer, wait_until, within_deadline},
    websocket_client::Client,
};

fn close(code: u16, reason: &str) -> (u16, String) {
    (code, reason.to_owned())
}

#[rstest]
#[case(64 * 1024 + 1)]
#[case(10 * 1024 * 1024)]
#[tokio::test]
async fn message_over_64_kib_closes_socket_with_1009(#[case] length: usize) {
    let server = TestServer::start().await;
    let client = Client::init(&server, json!({})).await;
    // The server does not read all of it, so sending may fail.
    let (mut sink, stream) = client.socket.split();
    let sending = tokio::spawn(async move {
        let _ = sink.send(Message::text("x".repeat(length))).await;
        sink
    });
    let closing = stream.filter_map(async |message| match message {
        Ok(Message::Close(frame)) => frame,
        _ => None,
    });
    let frame = within_deadline(std::pin::pin!(closing).next())
        .await
        .expect("a close frame");
    assert_eq!(u16::from(frame.code), 1009);
    assert_eq!(frame.reason.as_str(), "Message too big");
    sending.abort();
}

#[tokio::test]
async fn message_of_64_kib_is_read() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    let mut message = json!({ "type": "ping", "payload": { "x": "" } });
    let room = 64 * 1024 - message.to_string().len();
    message["payload"]["x"] = "x".repeat(room).into();
    client.send(message.clone()).await;
    assert_eq!(client.next().await["payload"], message["payload"]);
}

#[tokio::test]
async fn operations_over_the_socket_limit_are_refused() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    for id in 0..32 {
        client
            .subscribe(&id.to_string(), "subscription { never }")
            .await;
    }
    client.subscribe("one more", "{ me }").await;
    let error = client.next().await;
    assert_eq!(error["type"], "error");
    assert_eq!(error["id"], "one more");
    assert_eq!(
        error["payload"][0]["extensions"]["code"],
        "TOO_MANY_OPERATIONS"
    );
    client.send(json!({ "type": "complete", "id": "0" })).await;
    client.subscribe("one more", "{ me }").await;
    assert_eq!(client.next().await["type"], "next");
}

#[tokio::test]
async fn sockets_over_the_user_limit_are_refused() {
    let server = TestServer::with(|settings| settings.streams_per_user = 2).await;
    let alice = json!({ "authorization": ALICE });
    let first = Client::init(&server, alice.clone()).await;
    let _second = Client::init(&server, alice.clone()).await;

    let mut third = Client::connect(&server).await;
    third
        .send(json!({ "type": "connection_init", "payload": alice }))
        .await;
    assert_eq!(third.closed().await, close(4429, "Too many connections"));
    Client::init(&server, json!({ "authorization": BOB })).await;
    Client::init(&server, json!({})).await;

    drop(first);
    wait_until(|| server.accounts.watchers() == 1).await;
    Client::init(&server, alice).await;
}

#[tokio::test]
async fn anonymous_sockets_and_streams_share_a_limit() {
    let server = TestServer::with(|settings| settings.anonymous_streams = 1).await;
    let first = Client::init(&server, json!({})).await;
    let mut second = Client::connect(&server).await;
    second.send(json!({ "type": "connection_init" })).await;
    assert_eq!(second.closed().await, close(4429, "Too many connections"));
    let post = server.post(&json!({ "query": "subscription { never }" }));
    let events = within_deadline(post.header("accept", "text/event-stream").send());
    assert_eq!(events.await.expect("an answer").status().as_u16(), 429);
    Client::init(&server, json!({ "authorization": ALICE })).await;
    drop(first);
    retry_init(&server).await;
}

/// Retries until the server has noticed that a socket is gone.
async fn retry_init(server: &TestServer) {
    loop {
        let mut client = Client::connect(server).await;
        client.send(json!({ "type": "connection_init" })).await;
        match within_deadline(client.socket.next()).await {
            Some(Ok(Message::Text(text))) => {
                return assert_eq!(text.as_str(), r#"{"type":"connection_ack"}"#);
            }
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
}

#[tokio::test]
async fn busy_operations_of_a_socket_get_equal_shares() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({})).await;
    for id in ["a", "b", "c"] {
        client
            .subscribe(id, "subscription { count(to: 1000000) }")
            .await;
    }
    let mut shares = std::collections::HashMap::<String, usize>::new();
    // The first operation is ahead until all of them run.
    while shares.len() < 3 {
        let message = client.next().await;
        shares.insert(message["id"].to_string(), 0);
    }
    for _ in 0..900 {
        let message = client.next().await;
        *shares.entry(message["id"].to_string()).or_default() += 1;
    }
    assert!(shares.values().all(|share| *share > 200), "{shares:?}");
}

#[tokio::test]
async fn end_of_session_closes_socket_with_4403() {
    let server = TestServer::start().await;
    let mut anonymous = Client::init(&server, json!({})).await;
    let mut idle = Client::init(&server, json!({ "authorization": ALICE })).await;
    let mut busy = Client::init(&server, json!({ "authorization": ALICE })).await;
    busy.subscribe("1", "subscription { once }").await;
    assert_eq!(busy.next().await["type"], "next");
    server.accounts.end_sessions();
    assert_eq!(idle.closed().await, close(4403, "Forbidden"));
    assert_eq!(busy.closed().await, close(4403, "Forbidden"));
    anonymous.assert_silent().await;
}

#[tokio::test]
async fn end_of_session_closes_socket_of_a_slow_reader() {
    let server = TestServer::start().await;
    let mut client = Client::init(&server, json!({ "authorization": ALICE })).await;
    client.subscribe("1", "subscription { flood }").await;
    stalled(&server).await;
    server.accounts.end_sessions();
    wait_until(|| server.accounts.watchers() == 0).await;
}

#[tokio::test]
async fn shutdown_closes_sockets_with_1012() {
    let server = TestServer::start().await;
    let mut waiting = Client::connect(&server).await;
    let mut open = Client::init(&server, json!({ "authorization": ALICE })).await;
    open.subscribe("1", "subscription { once }").await;
    assert_eq!(open.next().await["type"], "next");
    server.shutdown.cancel();
    assert_eq!(waiting.closed().await, close(1012, "Service restart"));
    assert_eq!(open.closed().await, close(1012, "Service restart"));
    // tungstenite answers the close frame on the next read.
    assert!(within_deadline(waiting.socket.next()).await.is_none());
    assert!(within_deadline(open.socket.next()).await.is_none());
    server.stop().await;
}

#[tokio::test]
async fn stalled_reader_holds_no_memory_and_is_closed() {
    let server =
        TestServer::with(|settings| settings.write_timeout = Duration::from_millis(300)).await;
    let mut client = Client::init(&server, json!({ "authorization": ALICE })).await;
    client.subscribe("1", "subscription { flood }").await;
    stalled(&server).await;
    wait_until(|| server.accounts.watchers() == 0).await;
}

#[tokio::test]
async fn stalled_reader_is_closed_before_the_acknowledgement() {
    let silence = Duration::from_millis(300);
    let server = TestServer::with(|settings| settings.socket_init_timeout = silence).await;
    let begun = Instant::now();
    let mut client = Client::connect(&server).await;
    let ping = json!({ "type": "ping", "payload": { "text": "x".repeat(10_000) } }).to_string();
    let pinging = async {
        while client
            .socket
            .send(Message::text(ping.clone()))
            .await
            .is_ok()
        {}
    };
    within_deadline(pinging).await;
    assert!(begun.elapsed() >= silence, "closed for another reason");
}

#[tokio::test]
async fn trickling_reader_is_closed() {
    let server =
        TestServer::with(|settings| settings.write_timeout = Duration::from_millis(500)).await;
    let mut client = Client::init(&server, json!({ "authorization": ALICE })).await;
    client.subscribe("1", "subscription { flood }").await;
    stalled(&server).await;
    let trickling = async {
        // Reads below the protocol a message that is never complete.
        while let Ok(1..) = client.socket.get_mut().read(&mut [0; 64]).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let closed = wait_until(|| server.accounts.watchers() == 0);
    tokio::select! {
        () = closed => {}
        // The end is seen first when the server's buffer is lost.
        () = trickling => wait_until(|| server.accounts.watchers() == 0).await,
    }
}

/// Waits until the flood stops: the kernel's buffers are full.
async fn stalled(server: &TestServer) {
    let mut last = usize::MAX;
    while server.count() != last {
        last = server.count();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!((1..1_000).contains(&last), "{last} texts were made");
}

#[tokio::test]
async fn idle_sockets_are_pinged_and_dead_ones_closed() {
    let server = TestServer::with(|settings| settings.keep_alive = Duration::from_millis(50)).await;
    let mut client = Client::init(&server, json!({ "authorization": ALICE })).await;
    for _ in 0..3 {
        let message = within_deadline(client.socket.next())
            .await
            .expect("a message");
        assert!(matches!(message, Ok(Message::Ping(_))), "{message:?}");
    }
    assert_eq!(server.accounts.watchers(), 1);
    // Nobody reads from here on, so nobody answers the pings.
    wait_until(|| server.accounts.watchers() == 0).await;
}

#[rstest]
#[case(Some("https://evil.example"), true, false)]
#[case(Some("https://evil.example"), false, true)]
#[case(Some("https://app.example.com"), true, true)]
#[case(Some("null"), true, false)]
#[case(Some("own"), true, true)]
#[case(None, true, true)]
#[tokio::test]
async fn foreign_origin_with_a_cookie_is_403_at_the_handshake(
    #[case] origin: Option<&str>,
    #[case] cookie: bool,
    #[case] welcome: bool,
) {
    let server = TestServer::with(|settings| {
        settings.allowed_origins = vec!["https://app.example.com".parse().expect("a header")];
    })
    .await;
    let own = format!("http://{}", server.address);
    let mut headers = vec![("sec-websocket-protocol", "graphql-transport-ws")];
    headers.extend(origin.map(|origin| ("origin", if origin == "own" { &own } else { origin })));
    headers.extend(cookie.then_some(("cookie", SESSION_COOKIE)));
    let shaken = Client::handshake(&server, &headers).await;
    assert_eq!(shaken.err(), (!welcome).then_some(StatusCode::FORBIDDEN));
}

#[tokio::test]
async fn other_upgrade_is_400() {
    let server = TestServer::start().await;
    let request = reqwest::Client::new()
        .get(server.url("/graphql"))
        .header("connection", "upgrade")
        .header("upgrade", "h2c");
    let response = within_deadline(request.send()).await.expect("an answer");
    assert_eq!(response.status(), StatusCode::BAD_REQUEST);
    let body: Value = within_deadline(response.json()).await.expect("JSON");
    assert_eq!(body["errors"][0]["extensions"]["code"], "BAD_REQUEST");
}
