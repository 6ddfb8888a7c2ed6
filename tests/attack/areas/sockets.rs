//! The graphql-transport-ws protocol: messages out of order, malformed, too many.

use std::time::Duration;

use crate::{
    report::Outcome,
    socket::{Case, Due, OURS, Say, after_ack, init, play, socket, subscribe, text},
    stage::Stage,
    support::Backend,
};

const INVALID: Due = Due::Close(4400, "Invalid message received");
const FORBIDDEN: Due = Due::Close(4403, "Forbidden");
/// Goes on until the operation ends, which nobody's does.
const NO_OPERATION: &str = "subscription { operationStatus(operationId: \"x\") { kind } }";

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::with(backend, |config| {
        config.http.socket_init_timeout = Duration::from_millis(700);
    })
    .await;
    let cases = [handshakes(), beginnings(), malformed(), operations()];
    let outcome = play(&stage, cases.into_iter().flatten().collect()).await;
    stage.stop().await;
    outcome
}

fn handshake(name: &str, headers: &'static str, due: Due) -> Case {
    Case {
        name: name.into(),
        headers,
        says: Vec::new(),
        due,
    }
}

#[rustfmt::skip]
fn handshakes() -> Vec<Case> {
    let subprotocol = || Due::Close(4406, "Subprotocol not acceptable");
    vec![
        handshake("no subprotocol", "", subprotocol()),
        handshake("an unknown subprotocol", "Sec-WebSocket-Protocol: canary-x\n", subprotocol()),
        handshake("the older subprotocol", "Sec-WebSocket-Protocol: graphql-ws\n", subprotocol()),
        handshake("our subprotocol in capitals", "Sec-WebSocket-Protocol: GRAPHQL-TRANSPORT-WS\n", subprotocol()),
        handshake("our subprotocol as a part", "Sec-WebSocket-Protocol: xgraphql-transport-wsx\n", subprotocol()),
        handshake("ours among others", "Sec-WebSocket-Protocol: a, graphql-transport-ws, b\n", Due::Hears(&[])),
        handshake("ours twice", "Sec-WebSocket-Protocol: graphql-transport-ws, graphql-transport-ws\n", Due::Hears(&[])),
        handshake("a foreign page with a cookie", "Sec-WebSocket-Protocol: graphql-transport-ws\nCookie: intuned_gateway_session={alice}\nOrigin: http://evil.example\n", Due::Refused(403)),
        handshake("a page of no origin with a cookie", "Sec-WebSocket-Protocol: graphql-transport-ws\nCookie: intuned_gateway_session={alice}\nOrigin: null\n", Due::Refused(403)),
        handshake("a page that looks like ours with a cookie", "Sec-WebSocket-Protocol: graphql-transport-ws\nCookie: intuned_gateway_session={alice}\nOrigin: http://{host}.evil.example\n", Due::Refused(403)),
        handshake("a foreign page with somebody's bad cookie", "Sec-WebSocket-Protocol: graphql-transport-ws\nCookie: intuned_gateway_session=x\nOrigin: http://evil.example\n", Due::Refused(403)),
        handshake("version 12", "Sec-WebSocket-Protocol: graphql-transport-ws\nSec-WebSocket-Version: 12\n", Due::Refused(400)),
        handshake("version 0", "Sec-WebSocket-Protocol: graphql-transport-ws\nSec-WebSocket-Version: 0\n", Due::Refused(400)),
        handshake("extensions", "Sec-WebSocket-Protocol: graphql-transport-ws\nSec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8\n", Due::Hears(&[])),
        handshake("silence", OURS, Due::Close(4408, "Connection initialisation timeout")),
    ]
}

#[rustfmt::skip]
fn beginnings() -> Vec<Case> {
    let with = |payload: &str| vec![text(format!("{{\"type\":\"connection_init\",\"payload\":{payload}}}"))];
    let bad = |name: &str, payload: &str| socket(format!("connection_init with {name}"), with(payload), FORBIDDEN);
    vec![
        socket("pings and no more", (0..20).map(|_| text(r#"{"type":"ping"}"#)).collect(), Due::Close(4408, "Connection initialisation timeout")),
        socket("subscribe at once", vec![subscribe("1", "{ __typename }")], Due::Close(4401, "Unauthorized")),
        socket("subscribe while the session is checked", vec![text(r#"{"type":"connection_init","payload":{"authorization":"Bearer {alice}"}}"#), subscribe("1", "{ me { id } }")], Due::Early),
        socket("complete at once", vec![text(r#"{"type":"complete","id":"1"}"#), init()], Due::Hears(&["ack"])),
        socket("init twice at once", vec![init(), init()], Due::Close(4429, "Too many initialisation requests")),
        socket("init twice", after_ack([init()]), Due::Close(4429, "Too many initialisation requests")),
        socket("init as somebody else", after_ack([text(r#"{"type":"connection_init","payload":{"authorization":"Bearer {bob}"}}"#)]), Due::Close(4429, "Too many initialisation requests")),
        bad("a bad token", r#"{"authorization":"Bearer canary-x"}"#),
        bad("a token without a scheme", r#"{"authorization":"canary-x"}"#),
        bad("an empty token", r#"{"authorization":""}"#),
        bad("a token that is a number", r#"{"authorization":7}"#),
        bad("a token that is a list", r#"{"authorization":["Bearer {alice}"]}"#),
        bad("a token that is an object", r#"{"authorization":{"token":"{alice}"}}"#),
        bad("a token of 50 KB", &format!("{{\"authorization\":\"{}\"}}", "x".repeat(50_000))),
        bad("a token with NUL", r#"{"authorization":"Bearer {alice}\u0000"}"#),
        bad("two spellings, the first a bad one", r#"{"authorization":"x","Authorization":"Bearer {alice}"}"#),
        socket("connection_init with a null token", with(r#"{"authorization":null}"#), Due::Hears(&["ack"])),
        socket("connection_init with another key", with(r#"{"token":"{alice}"}"#), Due::Hears(&["ack"])),
        socket("connection_init with a text", with("\"canary-x\""), INVALID),
        socket("connection_init with a list", with("[]"), INVALID),
    ]
}

#[rustfmt::skip]
fn malformed() -> Vec<Case> {
    let texts = [
        "", " ", "canary-x", "{", "[]", "null", "1", "\"ping\"", "{}", r#"{"type":null}"#, r#"{"type":7}"#, r#"{"type":["ping"]}"#, r#"{"type":"canary-x"}"#,
        r#"{"type":"PING"}"#, r#"{"type":"connection_ack"}"#, r#"{"type":"next","id":"1","payload":{}}"#, r#"{"type":"error","id":"1","payload":[]}"#, r#"{"type":"start","id":"1","payload":{}}"#,
        r#"{"type":"connection_terminate"}"#, r#"{"type":"subscribe"}"#, r#"{"type":"subscribe","id":"1"}"#, r#"{"type":"subscribe","payload":{"query":"{ __typename }"}}"#,
        r#"{"type":"subscribe","id":"","payload":{"query":"{ __typename }"}}"#, r#"{"type":"subscribe","id":1,"payload":{"query":"{ __typename }"}}"#, r#"{"type":"subscribe","id":null,"payload":{"query":"{ __typename }"}}"#,
        r#"{"type":"subscribe","id":"1","payload":"{ __typename }"}"#, r#"{"type":"subscribe","id":"1","payload":[]}"#, r#"{"type":"subscribe","id":"1","payload":{}}"#, r#"{"type":"subscribe","id":"1","payload":{"query":7}}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":"{ __typename }","variables":[]}}"#, r#"{"type":"subscribe","id":"1","payload":{"query":"{ __typename }","variables":"canary-x"}}"#,
        r#"{"type":"subscribe","id":"1","payload":{"query":"{ __typename }","operationName":7}}"#, r#"{"type":"subscribe","id":"1","payload":{"query":"{ __typename }","extensions":[]}}"#,
        r#"{"type":"complete"}"#, r#"{"type":"complete","id":7}"#, r#"{"type":"complete","id":""}"#, r#"{"type":"ping","payload":7}"#, r#"{"type":"ping"}{"type":"ping"}"#, r#"{"type":"ping","type":"pong"}"#,
        r#"[{"type":"ping"},{"type":"ping"}]"#, r#"{"type":"ping","payload":{"a":"\ud800"}}"#,
    ];
    let mut cases: Vec<Case> = texts
        .iter()
        .map(|message| socket(format!("the message {message}"), after_ack([text(*message)]), INVALID))
        .collect();
    cases.push(socket("a message nested 10,000 deep", after_ack([text(format!("{{\"type\":\"ping\",\"payload\":{}", "{\"a\":".repeat(10_000)))]), INVALID));
    cases.push(socket("a message of more than 64 KiB", after_ack([text(format!("{{\"type\":\"ping\",\"payload\":{{\"a\":\"{}\"}}}}", "x".repeat(70_000)))]), Due::Close(1009, "Message too big")));
    cases.push(socket("a binary message", after_ack([Say::Frame(0x82, br#"{"type":"ping"}"#.to_vec())]), INVALID));
    cases.push(socket("an unknown key", after_ack([text(r#"{"type":"pong","canary-key":1}"#)]), Due::Hears(&["ack"])));
    cases
}

#[rustfmt::skip]
fn operations() -> Vec<Case> {
    let invalid = |name: &str, query: &str, heard: &'static [&'static str]| socket(name.to_owned(), after_ack([subscribe("1", query)]), Due::Hears(heard));
    let follow = |n: usize| (0..n).map(|n| subscribe(&n.to_string(), NO_OPERATION));
    vec![
        invalid("a query that does not parse", "{ a(b: \"canary-x\" ", &["ack", "error 1 GRAPHQL_PARSE_FAILED"]),
        invalid("a query of an unknown field", "{ canary }", &["ack", "error 1 GRAPHQL_VALIDATION_FAILED"]),
        invalid("a query that asks for too much", "{ a{b{c{d{e{f{g{h{i}}}}}}}} }", &["ack", "error 1 QUERY_TOO_COMPLEX"]),
        invalid("two sign-ins", "mutation { a: signIn(input: {email: \"a\", password: \"canary-x\"}) { token } b: signIn(input: {email: \"a\", password: \"canary-x\"}) { token } }", &["ack", "error 1 QUERY_TOO_COMPLEX"]),
        invalid("a subscription of two fields", "subscription { a: operationStatus(operationId: \"1\") { kind } b: operationStatus(operationId: \"1\") { kind } }", &["ack", "error 1 GRAPHQL_VALIDATION_FAILED"]),
        invalid("an empty query", "", &["ack", "error 1 GRAPHQL_PARSE_FAILED"]),
        invalid("an operation that nobody has", NO_OPERATION, &["ack", "next 1 NOT_FOUND", "complete 1"]),
        invalid("a query", "{ __typename }", &["ack", "next 1", "complete 1"]),
        socket("complete for an unknown id", after_ack([text(r#"{"type":"complete","id":"canary-x"}"#)]), Due::Hears(&["ack"])),
        socket("complete 1,000 times", after_ack((0..1000).map(|n| text(format!("{{\"type\":\"complete\",\"id\":\"{n}\"}}")))), Due::Hears(&["ack"])),
        socket("an id of 60,000 bytes", after_ack([text(format!("{{\"type\":\"complete\",\"id\":\"{}\"}}", "x".repeat(60_000)))]), INVALID),
        socket("an id of 256 bytes in a subscription", after_ack([subscribe(&"x".repeat(256), NO_OPERATION)]), INVALID),
        socket("an id with control characters", after_ack([subscribe("\u{1b}", "{ __typename }"), Say::Wait("complete \u{1b}")]), Due::Hears(&["ack", "next \u{1b}", "complete \u{1b}"])),
        socket("an id again after its end", after_ack([subscribe("1", "{ __typename }"), Say::Wait("complete 1"), subscribe("1", "{ __typename }")]), Due::Hears(&["ack", "next 1", "complete 1", "next 1", "complete 1"])),
        socket("200 pings", after_ack((0..200).map(|_| text(r#"{"type":"ping"}"#))), Due::Hears(&["ack"])),
        socket("200 pongs", after_ack((0..200).map(|_| text(r#"{"type":"pong"}"#))), Due::Hears(&["ack"])),
        socket("20 operations that nobody has", after_ack(follow(20)), Due::Ends(20)),
    ]
}
