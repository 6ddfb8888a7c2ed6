//! Heads that proxies and servers read differently, and heads that never end.

use std::time::Duration;

use serde_json::json;

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::{Send, post_body},
    stage::Stage,
    support::Backend,
};

const HIDDEN: &str = "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 46\r\n\r\n{\"query\":\"mutation { signOut { signedOut } }\"}";

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::with(backend, |config| {
        config.http.head_timeout = Duration::from_millis(500);
        config.http.body_timeout = Duration::from_millis(500);
    })
    .await;
    let cases = [smuggled(), malformed(), hosts(), endless(), trusted()]
        .into_iter()
        .flatten();
    let outcome = play(&stage, cases.collect()).await;
    stage.stop().await;
    outcome
}

fn raw(name: &str, head: &str, due: Due) -> Case {
    case(name, Send::Bytes(head.as_bytes().to_vec()), due)
}

/// One request to some readers and two to others: refused, or one answer only.
#[rustfmt::skip]
fn smuggled() -> Vec<Case> {
    let post = "POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n";
    let two = |name: &str, headers: &str, body: &str| {
        raw(name, &format!("{post}{headers}\r\n{body}{HIDDEN}"), Due::Refused)
    };
    vec![
        two("a length and chunks", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        two("chunks and a length", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
        two("two lengths that differ", "Content-Length: 2\r\nContent-Length: 3\r\n", "{} "),
        two("a list of lengths", "Content-Length: 2, 3\r\n", "{} "),
        two("a negative length", "Content-Length: -1\r\n", ""),
        two("a signed length", "Content-Length: +2\r\n", "{}"),
        two("a hexadecimal length", "Content-Length: 0x2\r\n", "{}"),
        two("a length beyond all numbers", "Content-Length: 99999999999999999999999\r\n", "{}"),
        two("a length with a space before the colon", "Content-Length : 2\r\n", "{}"),
        two("a length on a folded line", "Content-Length:\r\n 2\r\n", "{}"),
        two("an unknown transfer coding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
        two("chunks that are not last", "Transfer-Encoding: chunked, identity\r\n", "0\r\n\r\n"),
        two("two transfer codings", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
        two("a coding before chunks", "Transfer-Encoding: gzip, chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
        two("chunks within chunks", "Transfer-Encoding: chunked, chunked\r\n", "2\r\n{}\r\n0\r\n\r\n"),
        two("chunks with a parameter", "Transfer-Encoding: chunked;q=1\r\n", "2\r\n{}\r\n0\r\n\r\n"),
        raw("a coding of a body that is read", "POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: gzip, chunked\r\n\r\n16\r\n{\"query\":\"{ __typename }\"}\r\n0\r\n\r\n", Due::Error(400, "BAD_REQUEST")),
        two("a chunk's length that is none", "Transfer-Encoding: chunked\r\n", "zz\r\n{}\r\n0\r\n\r\n"),
        two("a chunk's length beyond all numbers", "Transfer-Encoding: chunked\r\n", "fffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        two("a chunk that is longer than it says", "Transfer-Encoding: chunked\r\n", "1\r\n{}\r\n0\r\n\r\n"),
        two("lines that end with LF alone", "Transfer-Encoding: chunked\n\n", "2\n{}\n0\n\n"),
        two("chunk extensions without end", "Transfer-Encoding: chunked\r\n", &format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(100_000))),
        two("trailers without end", "Transfer-Encoding: chunked\r\n", &format!("2\r\n{{}}\r\n0\r\n{}\r\n", "a: b\r\n".repeat(20_000))),
    ]
}

#[rustfmt::skip]
fn malformed() -> Vec<Case> {
    let get = |name: &str, text: &str| raw(name, text, Due::Refused);
    vec![
        get("no version", "GET /\r\n\r\n"),
        get("HTTP/0.9", "GET / HTTP/0.9\r\n\r\n"),
        get("HTTP/2 in the clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        get("HTTP/9.9", "GET / HTTP/9.9\r\nHost: x\r\n\r\n"),
        get("TLS", "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}\r\n\r\n"),
        get("no host", "GET / HTTP/1.1\r\n\r\n"),
        get("no host but in the target", "GET http://x/ HTTP/1.1\r\n\r\n"),
        get("two hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"),
        get("the same host twice", "GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n"),
        get("a header without a name", "GET / HTTP/1.1\r\n: x\r\n\r\n"),
        get("a header without a colon", "GET / HTTP/1.1\r\nHost\r\n\r\n"),
        get("a header with NUL", "GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n"),
        get("a bare CR in a header", "GET / HTTP/1.1\r\nHost: x\r\nX: a\rb: c\r\n\r\n"),
        get("a name with a space", "GET / HTTP/1.1\r\nHost: x\r\nX Y: z\r\n\r\n"),
        get("a name in other letters", "GET / HTTP/1.1\r\nHost: x\r\nX\u{fc}: z\r\n\r\n"),
        get("a path with a space", "GET /graph ql HTTP/1.1\r\nHost: x\r\n\r\n"),
        get("a path of 70,000 bytes", &format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "a".repeat(70_000))),
        get("a header of 100 KiB", &format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "a".repeat(100 * 1024))),
        get("300 headers", &format!("GET / HTTP/1.1\r\nHost: x\r\n{}\r\n", "X: y\r\n".repeat(300))),
        get("a method of 10,000 letters", &format!("{} / HTTP/1.1\r\nHost: x\r\n\r\n", "A".repeat(10_000))),
        get("no method", " / HTTP/1.1\r\nHost: x\r\n\r\n"),
        get("only spaces", &" ".repeat(70_000)),
    ]
}

/// Two answers to which host a request is for, or none.
#[rustfmt::skip]
fn hosts() -> Vec<Case> {
    let refused = || Due::Error(400, "BAD_REQUEST");
    let query = "/graphql?query=%7B__typename%7D";
    let named = |host: &str, target: &str, due: Due| {
        raw(&format!("{target} of the host {host:?}"), &format!("GET {target} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"), due)
    };
    let odd = [
        "", " ", ".", ":80", "a..b", "a b", "a,b", "a, b", "a/b", "a?b", "a#b", "a%00", "a@b", "canary-user:canary-pw@b", "a:", "a:0", "a:+1", "a:-1", "a:65536", "a:http",
        "a:80:80", "[::1", "::1", "[]", "[::1]:", "[canary]", "http://a", "<script>", "\u{fc}", "a\tb", "${jndi:ldap://canary}",
    ];
    let mut cases: Vec<Case> = odd.iter().map(|host| named(host, query, refused())).collect();
    for target in ["http://canary-evil.example/graphql", "http://a.example:81/graphql", "http://b@a.example/graphql", "https://a.example:80/graphql", "ftp://a.example/graphql", "http://a.example.evil.example/"] {
        cases.push(named("a.example", target, refused()));
    }
    cases.push(named("a.example", &format!("http://A.example:80{query}"), Due::Data(json!({ "__typename": "Query" }))));
    cases.push(raw("CONNECT for another host", "CONNECT evil.example:443 HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n", refused()));
    cases.push(raw("no host in HTTP/1.0", &format!("GET {query} HTTP/1.0\r\n\r\n"), Due::Data(json!({ "__typename": "Query" }))));
    cases.push(raw("an odd host in HTTP/1.0", &format!("GET {query} HTTP/1.0\r\nHost: a b\r\n\r\n"), refused()));
    let handshake = "GET /graphql HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (name, rest) in [("a body", "Content-Length: 2\r\n\r\n{}".to_owned()), ("a request in it", format!("Content-Length: {}\r\n\r\n{HIDDEN}", HIDDEN.len())), ("chunks", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned())] {
        cases.push(raw(&format!("a handshake with {name}"), &format!("{handshake}{rest}"), refused()));
    }
    cases
}

/// Cut off after the time limit.
#[rustfmt::skip]
fn endless() -> Vec<Case> {
    vec![
        raw("silence", "", Due::Refused),
        raw("half a head", "POST /graphql HTTP/1.1\r\nHost: x\r\n", Due::Refused),
        raw("line ends alone", "\r\n\r\n\r\n", Due::Refused),
        raw("a body that never comes", "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n", Due::Error(408, "REQUEST_TIMEOUT")),
        raw("half a body", "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"q", Due::Error(408, "REQUEST_TIMEOUT")),
        raw("a chunk that never comes", "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{", Due::Error(408, "REQUEST_TIMEOUT")),
        raw("a body that waits to be asked for", "POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n", Due::Status(100)),
    ]
}

/// Headers that a proxy would set, from one who is none.
#[rustfmt::skip]
fn trusted() -> Vec<Case> {
    let query = r#"{"query":"{ me { id } }"}"#;
    let nobody = || Due::Data(json!({ "me": null }));
    let headers = [
        "X-Forwarded-For: 127.0.0.1", "X-Forwarded-For: ' OR 1=1 --", "X-Forwarded-User: alice@example.com", "X-Remote-User: alice@example.com",
        "X-Forwarded-Host: canary-host", "X-Original-URL: /admin", "X-Rewrite-URL: /health/live", "Forwarded: for=127.0.0.1;host=canary-host",
        "X-Real-IP: ::1", "X-User-Id: 1", "Proxy: http://canary-proxy", "Host: canary-host",
    ];
    let mut cases: Vec<Case> = headers
        .iter()
        .map(|header| {
            let due = if header.starts_with("Host") { Due::Error(400, "BAD_REQUEST") } else { nobody() };
            case(header.escape_debug().to_string(), post_body(&format!("{header}\n"), query), due)
        })
        .collect();
    for id in ["a b", "<script>", "../../x", "x\ty", "\u{fc}", ""] {
        let header = format!("X-Request-Id: {id}\n");
        cases.push(case(format!("the request id {id:?}"), post_body(&header, query), nobody()));
    }
    cases.push(case("a request id with an escape", post_body("X-Request-Id: \u{1b}[31m\n", query), Due::Refused));
    let long = format!("X-Request-Id: {}\n", "a".repeat(5000));
    cases.push(case("a request id of 5,000 bytes", post_body(&long, query), nobody()));
    cases
}
