//! Fuzz targets for connections: HTTP requests and WebSocket frames.
//!
//! Bytes go through the real routes, in memory, on a paused clock.

#![expect(
    clippy::panic,
    clippy::missing_panics_doc,
    reason = "a fuzz target tells what is wrong by a panic"
)]

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use async_graphql::{Request, Response, Value};
use axum::{Router, body::Body};
use futures_util::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value as Json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::{Builder, Runtime},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{CANARY, assert_no_canary, document::types};
use crate::{
    document::{Document, DocumentLimits, DocumentReader},
    endpoint::Endpoint,
    execute::{Execute, SchemaExecutor},
    hooks::{AuthenticationError, Hooks, Invocation, Lifetime},
    http::scope::RequestScope,
    metrics::ServerMetrics,
    net::{TrustedProxies, drain::DrainSchedule},
    options::ServerOptions,
    request::RequestInfo,
};

/// Address of all connections, which is that of a trusted proxy.
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The only valid token.
const TOKEN: &str = "alice";

const HANDSHAKE: &str = "GET /graphql HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
     sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
     sec-websocket-protocol: graphql-transport-ws\r\n\r\n";

/// Statuses of answers. Nothing that is sent is an internal error.
const STATUSES: [u16; 14] = [
    101, 200, 204, 400, 403, 404, 405, 406, 408, 413, 414, 415, 429, 431,
];

const CLOSE_CODES: [u16; 13] = [
    1000, 1002, 1007, 1009, 1012, 1013, 4400, 4401, 4403, 4406, 4408, 4409, 4429,
];

/// Sends `data` on a connection.
///
/// Every answer has a known status and the usual headers, and repeats nothing. Then the connection ends.
pub fn request(data: &[u8]) {
    let output = exchange(data.to_vec());
    let mut rest = output.as_slice();
    while !rest.is_empty() {
        rest = match answer(rest) {
            Some(rest) => rest,
            None => return,
        };
    }
}

/// Checks the first answer and returns the bytes after it; none when its end is not looked for.
fn answer(output: &[u8]) -> Option<&[u8]> {
    let end = position(output, b"\r\n\r\n").unwrap_or_else(|| panic!("an answer without a head"));
    let (head, body) = output.split_at(end + 4);
    let head = std::str::from_utf8(head).unwrap_or_else(|_| panic!("a head in no UTF-8"));
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| {
        let status = line
            .strip_prefix("HTTP/1.1 ")
            .or(line.strip_prefix("HTTP/1.0 "))?;
        status.get(..3)?.parse().ok()
    });
    let status: u16 = status.unwrap_or_else(|| panic!("no status in {head}"));
    assert!(STATUSES.contains(&status), "{head}");
    let header = |name: &str| {
        let mut lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.find(|(key, _)| key.eq_ignore_ascii_case(name))
    };
    for line in head
        .lines()
        .filter(|line| !line.starts_with("x-request-id"))
    {
        assert_no_canary(line);
    }
    // Bytes that are no HTTP are answered by hyper, without a body.
    let ours = header("x-request-id").is_some();
    if ours && status != 101 {
        assert!(header("x-content-type-options").is_some(), "{head}");
        assert!(header("cache-control").is_some(), "{head}");
    }
    if status == 101 || header("transfer-encoding").is_some() {
        return None;
    }
    // To HTTP/1.0 a stream is all that comes until the connection ends.
    let (_, length) = header("content-length")?;
    // A HEAD is answered without its body.
    let length = length.parse().unwrap_or(0);
    let (body, rest) = match body.get(..length) {
        Some(whole) if !body.starts_with(b"HTTP/1.") => (whole, body.get(length..)),
        _ => return None,
    };
    if header("content-type").is_some_and(|(_, media)| media.contains("json")) {
        let text = String::from_utf8_lossy(body);
        let body: Json = serde_json::from_str(&text).unwrap_or_else(|_| panic!("no JSON: {text}"));
        assert_errors(&body["errors"]);
        for answer in body.as_array().into_iter().flatten() {
            assert_errors(&answer["errors"]);
        }
    }
    rest
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}

/// Checks that errors have a code and a message that does not repeat the input.
fn assert_errors(errors: &Json) {
    for error in errors.as_array().into_iter().flatten() {
        let message = error["message"].as_str().unwrap_or_default();
        assert!(!message.is_empty() && message.len() < 2000, "{error}");
        assert_no_canary(message);
        assert!(error["extensions"]["code"].is_string(), "{error}");
    }
}

/// Sends `data` on a socket.
///
/// After an even first byte each line is a message; after an odd one come raw frames. The server sends
/// nothing but messages of the protocol. It closes with a known code and reason.
pub fn socket(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else {
        return;
    };
    let mut input = HANDSHAKE.as_bytes().to_vec();
    if kind % 2 == 0 {
        for line in rest.split(|byte| *byte == b'\n') {
            frames(line, &mut input);
        }
    } else {
        input.extend(rest);
    }
    let output = exchange(input);
    let end = position(&output, b"\r\n\r\n").unwrap_or_else(|| panic!("no handshake"));
    assert!(output.starts_with(b"HTTP/1.1 101 "));
    ServerFrames::default().read(output.get(end + 4..).unwrap_or_default());
}

/// Writes the frames of a line: a text, or the kind that its first byte selects.
fn frames(line: &[u8], out: &mut Vec<u8>) {
    match line.split_first() {
        Some((1, rest)) => frame(0x82, rest, out),
        Some((2, rest)) => frame(0x89, rest.get(..125).unwrap_or(rest), out),
        Some((3, rest)) => frame(0x88, rest.get(..125).unwrap_or(rest), out),
        Some((4, rest)) => {
            let (begin, end) = rest.split_at(rest.len() / 2);
            frame(0x01, begin, out);
            frame(0x80, end, out);
        }
        // Repeats the last byte many times.
        Some((5, rest)) => {
            let last = rest.last().copied().unwrap_or(b' ');
            let padding = std::iter::repeat_n(last, 70_000);
            frame(0x81, &[rest, &padding.collect::<Vec<_>>()].concat(), out);
        }
        _ => frame(0x81, line, out),
    }
}

/// Writes a frame whose mask changes nothing.
fn frame(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => out.push(0x80 | length),
        (_, Ok(length)) => {
            out.push(0xfe);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(0xff);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend(payload);
}

/// State of the server's side of a socket.
#[derive(Default)]
struct ServerFrames {
    acknowledged: bool,
    closed: bool,
}

impl ServerFrames {
    fn read(&mut self, mut output: &[u8]) {
        while let [first, length, rest @ ..] = output {
            assert!(!self.closed, "a frame after the close frame");
            assert_eq!(first & 0xf0, 0x80, "a whole frame without extensions");
            let (length, rest) = match length {
                126 => split_length::<2>(rest),
                127 => split_length::<8>(rest),
                length => (usize::from(*length), rest),
            };
            let Some(payload) = rest.get(..length) else {
                panic!("a frame is cut short");
            };
            self.frame(first & 0x0f, payload);
            output = rest.get(length..).unwrap_or_default();
        }
    }

    fn frame(&mut self, opcode: u8, payload: &[u8]) {
        match opcode {
            0x1 => self.message(&String::from_utf8_lossy(payload)),
            0x8 => {
                self.closed = true;
                check_close(payload);
            }
            0x9 | 0xa => {}
            _ => panic!("opcode {opcode}"),
        }
    }

    fn message(&mut self, text: &str) {
        let message: Json = serde_json::from_str(text).unwrap_or_else(|_| panic!("{text}"));
        match message["type"].as_str().unwrap_or_default() {
            "connection_ack" => {
                assert!(!self.acknowledged, "acknowledged twice");
                self.acknowledged = true;
            }
            "pong" => {}
            "next" | "complete" => {
                assert!(self.acknowledged && message["id"].is_string(), "{text}");
                assert_errors(&message["payload"]["errors"]);
            }
            "error" => {
                assert!(self.acknowledged && message["id"].is_string(), "{text}");
                assert!(
                    message["payload"]
                        .as_array()
                        .is_some_and(|errors| !errors.is_empty())
                );
                assert_errors(&message["payload"]);
            }
            _ => panic!("{text}"),
        }
    }
}

fn split_length<const N: usize>(rest: &[u8]) -> (usize, &[u8]) {
    let Some((length, rest)) = rest.split_at_checked(N) else {
        panic!("a frame is cut short");
    };
    let length = length
        .iter()
        .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
    (length, rest)
}

fn check_close(payload: &[u8]) {
    // An empty payload answers the peer's own.
    let Some((code, reason)) = payload.split_at_checked(2) else {
        return;
    };
    let code = code.iter().fold(0, |sum, byte| sum << 8 | u16::from(*byte));
    let reason = String::from_utf8_lossy(reason);
    assert!(reason.len() <= 123);
    if CLOSE_CODES.contains(&code) {
        if code == 4409 {
            assert!(reason.starts_with("Subscriber for ") && reason.ends_with(" already exists"));
        } else if !reason.is_empty() {
            let canary_in_echo = code == 1000;
            assert!(
                canary_in_echo || !reason.contains(CANARY),
                "{code} {reason}"
            );
        }
    }
}

struct Harness {
    runtime: Runtime,
    scope: Arc<RequestScope>,
}

thread_local! {
    static HARNESS: Harness = Harness::new();
}

impl Harness {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap_or_else(|error| panic!("no runtime: {error}"));
        let options = ServerOptions {
            body_limit: 64 * 1024,
            batch_limit: 4,
            trusted_proxies: TrustedProxies(vec![PROXY.into()]),
            ..ServerOptions::default()
        };
        let endpoint = Endpoint {
            executor: SchemaExecutor::from_executor(FixedExecutor),
            reader: DocumentReader::new(DocumentLimits::default(), types()),
            hooks: Arc::new(OneToken),
            readiness: Arc::new(|| future::ready(Vec::new()).boxed()),
            new_request_id: Arc::new(|| "id".to_owned()),
            trusted: None,
            metrics: ServerMetrics::default(),
            routes: Router::new(),
        };
        let (shutdown, drain) = (CancellationToken::new(), DrainSchedule::new());
        let scope = endpoint.into_scope(&options, &shutdown, &drain, &TaskTracker::new());
        Self {
            scope: Arc::new(scope),
            runtime,
        }
    }
}

/// Returns all output for `input`.
fn exchange(input: Vec<u8>) -> Vec<u8> {
    HARNESS.with(|harness| {
        let scope = Arc::clone(&harness.scope);
        harness.runtime.block_on(async move {
            let (client, server) = duplex(64 * 1024);
            let serving = tokio::spawn(serve(server, scope));
            let output = talk(client, input).await;
            assert!(serving.await.is_ok(), "serving panicked");
            output
        })
    })
}

async fn serve(stream: DuplexStream, scope: Arc<RequestScope>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let scope = Arc::clone(&scope);
        async move { Ok::<_, Infallible>(scope.respond(request.map(Body::new), PROXY).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let _ = connection.await;
}

async fn talk(client: DuplexStream, input: Vec<u8>) -> Vec<u8> {
    let (mut from, mut to) = tokio::io::split(client);
    let mut output = Vec::new();
    let write = async {
        // The server may close the connection in the middle.
        let _ = to.write_all(&input).await;
    };
    let ((), read) = tokio::join!(write, from.read_to_end(&mut output));
    assert!(read.is_ok());
    output
}

/// Hooks that know one token.
struct OneToken;

impl Hooks for OneToken {
    type Session = ();

    fn authenticate<'a>(
        &'a self,
        token: &'a SecretString,
        _: &'a RequestInfo,
        _: Lifetime,
    ) -> BoxFuture<'a, Result<Option<()>, AuthenticationError>> {
        let known = (token.expose_secret() == TOKEN).then_some(());
        future::ok(known).boxed()
    }

    fn stream_key(&self, (): &()) -> u128 {
        1
    }

    fn session_ended(&self, (): &()) -> BoxFuture<'static, ()> {
        future::pending().boxed()
    }

    fn prepare_request(&self, request: Request, _: &Invocation<'_, ()>) -> Request {
        request
    }
}

/// Executor that does not execute: the code around it is under test.
struct FixedExecutor;

impl Execute for FixedExecutor {
    fn execute(&self, _: Request, _: Arc<Document>) -> BoxFuture<'_, Response> {
        future::ready(Response::new(Value::Null)).boxed()
    }

    fn execute_stream(&self, _: Request, _: &Arc<Document>) -> BoxStream<'static, Response> {
        stream::repeat_with(|| Response::new(Value::Null))
            .take(3)
            .boxed()
    }
}
