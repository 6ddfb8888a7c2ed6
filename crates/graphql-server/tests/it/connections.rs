//! Connections: slow and silent peers, bodies without end, and the end of the server.

use std::time::Duration;

use graphql_server::{Server, ServerOptions};
use rstest::rstest;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
    time::Instant,
};

use crate::test_server::{TestServer, wait_until, within_deadline};

const SHORT: Duration = Duration::from_millis(100);

async fn connect(server: &TestServer, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.expect("connected");
    within_deadline(stream.write_all(sent.as_bytes()))
        .await
        .expect("sent");
    stream
}

/// Reads until the server closes the connection.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    within_deadline(stream.read_to_end(&mut bytes))
        .await
        .expect("closed, not reset");
    String::from_utf8(bytes).expect("UTF-8")
}

#[tokio::test]
async fn silent_connection_is_closed() {
    let server = TestServer::with(|settings| settings.head_timeout = SHORT).await;
    let mut stream = connect(&server, "").await;
    assert_eq!(rest(&mut stream).await, "");
}

#[tokio::test]
async fn slow_head_is_cut_off() {
    let server = TestServer::with(|settings| settings.head_timeout = SHORT).await;
    let stream = connect(&server, "POST /graphql HTTP/1.1\r\nHost: x\r\n").await;
    let (mut reading, mut writing) = stream.into_split();
    let dripping = tokio::spawn(async move {
        while writing.write_all(b"X-Drip: drop\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    let mut bytes = Vec::new();
    // The connection may be reset, because the peer is still writing.
    let _ = within_deadline(reading.read_to_end(&mut bytes)).await;
    assert!(!String::from_utf8_lossy(&bytes).contains(" 200 "));
    within_deadline(dripping).await.expect("cut off");
}

#[tokio::test]
async fn idle_connection_is_closed() {
    let server = TestServer::with(|settings| settings.head_timeout = SHORT).await;
    let mut stream = connect(&server, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn slow_body_is_408() {
    let server = TestServer::with(|settings| settings.body_timeout = SHORT).await;
    let head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    let mut stream = connect(&server, head).await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("REQUEST_TIMEOUT"));
}

#[tokio::test]
async fn declared_body_over_the_limit_is_413_at_once() {
    let server = TestServer::start().await;
    let head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1048577\r\n\r\n";
    let mut stream = connect(&server, head).await;
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("PAYLOAD_TOO_LARGE"));
}

#[tokio::test]
async fn chunked_body_over_the_limit_is_413_and_dropped() {
    let server = TestServer::start().await;
    let head = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
    let stream = connect(&server, head).await;
    let (mut reading, mut writing) = stream.into_split();
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    let flooding =
        tokio::spawn(async move { while writing.write_all(chunk.as_bytes()).await.is_ok() {} });
    let mut answer = [0; 12];
    within_deadline(reading.read_exact(&mut answer))
        .await
        .expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 413");
    within_deadline(flooding)
        .await
        .expect("the rest is cut off");
}

#[tokio::test]
async fn body_within_the_limit_is_read() {
    let server = TestServer::start().await;
    let text = "x".repeat(1024 * 1024 - 100);
    let body =
        json!({ "query": "query($t: String!) { length(text: $t) }", "variables": { "t": text } });
    let response = within_deadline(server.post(&body).send())
        .await
        .expect("an answer");
    let answer = within_deadline(response.text()).await.expect("a body");
    assert_eq!(answer, format!(r#"{{"data":{{"length":{}}}}}"#, text.len()));
}

#[tokio::test]
async fn stalled_reader_is_cut_off() {
    let server = TestServer::with(|settings| settings.write_timeout = SHORT).await;
    let query = "query=%7Btext(length:20000000)%7D";
    let request = format!("GET /graphql?{query} HTTP/1.1\r\nHost: x\r\n\r\n");
    let mut stream = connect(&server, &request).await;
    let mut first = [0; 1];
    within_deadline(stream.read_exact(&mut first))
        .await
        .expect("an answer");
    // Nothing is read until the server has given up. Then the response is cut.
    server.shutdown.cancel();
    within_deadline(server.running)
        .await
        .expect("the server ends");
    let mut bytes = Vec::new();
    let _ = within_deadline(stream.read_to_end(&mut bytes)).await;
    assert!(bytes.len() < 20_000_000);
}

/// Connects with this receive buffer.
async fn connect_narrowly(server: &TestServer, sent: &str, room: u32) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(room).expect("set");
    let mut stream = socket.connect(server.address).await.expect("connected");
    within_deadline(stream.write_all(sent.as_bytes()))
        .await
        .expect("sent");
    stream
}

/// Reads a little at a time until the connection ends, and returns the number of bytes.
async fn take(stream: &mut TcpStream, bytes: usize, pause: Duration) -> usize {
    let mut taken = 0;
    let mut buffer = vec![0; bytes];
    while let Ok(1..) = stream.read(&mut buffer).await.inspect(|read| taken += read) {
        tokio::time::sleep(pause).await;
    }
    taken
}

#[rstest]
#[case::an_answer("text(length:1000000)", "*/*")]
#[case::an_event_stream("flood", "text/event-stream")]
#[tokio::test]
async fn trickling_reader_is_cut_off(#[case] field: &str, #[case] accept: &str) {
    let server =
        TestServer::with(|settings| settings.write_timeout = Duration::from_millis(500)).await;
    let kind = if field == "flood" {
        "subscription"
    } else {
        "query"
    };
    let request = format!(
        "GET /graphql?query={kind}%7B{field}%7D HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\n\r\n"
    );
    let mut stream = connect_narrowly(&server, &request, 4096).await;
    // Reads often enough, but far too little.
    let taken = within_deadline(take(&mut stream, 256, Duration::from_millis(10))).await;
    assert!((1..1_000_000).contains(&taken), "{taken}");
    server.stop().await;
}

#[tokio::test]
async fn slow_but_steady_reader_gets_a_long_response() {
    let server = TestServer::with(|settings| settings.write_timeout = Duration::from_secs(1)).await;
    let length = 3_000_000;
    let request = format!(
        "GET /graphql?query=%7Btext(length:{length})%7D HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    );
    let began = Instant::now();
    let mut stream = connect_narrowly(&server, &request, 64 * 1024).await;
    let taken = within_deadline(take(&mut stream, 20_000, Duration::from_millis(10))).await;
    assert!(taken > length, "{taken}");
    assert!(
        began.elapsed() > Duration::from_secs(1),
        "it was no slow reader"
    );
    server.stop().await;
}

#[tokio::test]
async fn shutdown_waits_for_requests() {
    let server = TestServer::with(|settings| settings.query_timeout = SHORT).await;
    let answer = tokio::spawn(server.post(&json!({ "query": "{ wait }" })).send());
    let idle = connect(&server, "").await;
    wait_until(|| server.count() == 1).await;
    server.stop().await;
    let answer = within_deadline(answer)
        .await
        .expect("joined")
        .expect("an answer");
    assert_eq!(answer.status().as_u16(), 504);
    drop(idle);
}

#[tokio::test]
async fn shutdown_drops_requests_after_its_time_limit() {
    let server = TestServer::with(|settings| settings.shutdown_timeout = SHORT).await;
    let request = "GET /graphql?query=%7Bwait%7D HTTP/1.1\r\nHost: x\r\n\r\n";
    let mut stream = connect(&server, request).await;
    wait_until(|| server.count() == 1).await;
    let address = server.address;
    server.stop().await;
    assert_eq!(rest(&mut stream).await, "");
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn connections_over_the_limit_get_503() {
    let server = TestServer::with(|settings| settings.connections = 1).await;
    let mut first = connect(&server, "").await;
    let mut second = TcpStream::connect(server.address).await.expect("connected");
    let answer = rest(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let request = "GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    within_deadline(first.write_all(request.as_bytes()))
        .await
        .expect("sent");
    assert!(rest(&mut first).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn oversized_head_is_431() {
    let server = TestServer::start().await;
    let stream = connect(&server, "GET /graphql HTTP/1.1\r\nHost: x\r\n").await;
    let (mut reading, mut writing) = stream.into_split();
    let header = format!("X-Long: {}\r\n", "x".repeat(1000));
    let flooding =
        tokio::spawn(async move { while writing.write_all(header.as_bytes()).await.is_ok() {} });
    let mut answer = [0; 12];
    within_deadline(reading.read_exact(&mut answer))
        .await
        .expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 431");
    within_deadline(flooding)
        .await
        .expect("the rest is cut off");
}

#[tokio::test]
async fn bind_fails_on_a_used_address() {
    let server = TestServer::start().await;
    assert!(
        Server::bind(server.address, ServerOptions::default())
            .await
            .is_err()
    );
}
