//! Server-sent events.

use serde_json::json;

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::{Send, post_body},
    stage::Stage,
    support::Backend,
};

const FOLLOW: &str = "subscription { operationStatus(operationId: \"x\") { kind } }";

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::start(backend).await;
    let outcome = play(&stage, cases()).await;
    stage.stop().await;
    outcome
}

fn stream(name: &str, headers: &str, query: &str, due: Due) -> Case {
    let body = json!({ "query": query }).to_string();
    case(
        name,
        post_body(&format!("Accept: text/event-stream\n{headers}"), &body),
        due,
    )
}

#[rustfmt::skip]
fn cases() -> Vec<Case> {
    let alice = "Authorization: Bearer {alice}\n";
    let get = |name: &str, headers: &str, query: &str, due: Due| {
        let query: String = url::form_urlencoded::byte_serialize(query.as_bytes()).collect();
        case(name, Send::Text(format!("GET /graphql?query={query} HTTP/1.1\nHost: {{host}}\nConnection: close\nAccept: text/event-stream\n{headers}\n")), due)
    };
    vec![
        stream("an operation that nobody has", alice, FOLLOW, Due::Streams("NOT_FOUND")),
        stream("nobody follows", "", FOLLOW, Due::Streams("UNAUTHENTICATED")),
        stream("a bad token follows", "Authorization: Bearer canary-x\n", FOLLOW, Due::Streams("UNAUTHENTICATED")),
        stream("a sequence that was never reached", alice, "subscription { operationStatus(operationId: \"x\", afterSequence: 2147483647) { kind } }", Due::Streams("NOT_FOUND")),
        stream("a negative sequence", alice, "subscription { operationStatus(operationId: \"x\", afterSequence: -1) { kind } }", Due::Streams("NOT_FOUND")),
        stream("a sequence beyond all numbers", alice, "subscription { operationStatus(operationId: \"x\", afterSequence: 99999999999) { kind } }", Due::OneOf(&[200, 400])),
        stream("a cookie of a foreign page", "Cookie: intuned_gateway_session={alice}\nOrigin: http://evil.example\n", FOLLOW, Due::Status(403)),
        stream("a cookie of a frame", "Cookie: intuned_gateway_session={alice}\nSec-Fetch-Site: cross-site\n", FOLLOW, Due::Status(403)),
        stream("a syntax error after a secret", alice, "subscription { operationStatus(operationId: \"canary-x\" ", Due::Status(400)),
        stream("a subscription of two fields", alice, "subscription { a: operationStatus(operationId: \"1\") { kind } b: operationStatus(operationId: \"1\") { kind } }", Due::Status(400)),
        stream("an event's name in a Last-Event-ID", "Last-Event-ID: x\revent: canary-x\n", FOLLOW, Due::Refused),
        stream("a form's content type", "Content-Type: text/plain\n", FOLLOW, Due::OneOf(&[200, 415])),
        get("a mutation", alice, "mutation { signOut { signedOut } }", Due::Status(405)),
        get("a cookie of a foreign page by GET", "Cookie: intuned_gateway_session={alice}\nOrigin: null\n", FOLLOW, Due::Status(403)),
        get("a cookie of an image by GET", "Cookie: intuned_gateway_session={alice}\nSec-Fetch-Site: cross-site\n", FOLLOW, Due::Status(403)),
        get("an operation that nobody has, by GET", alice, FOLLOW, Due::Streams("NOT_FOUND")),
        get("a token in the URL", "", &format!("{FOLLOW}&authorization=canary-x&token=canary-x"), Due::OneOf(&[400])),
    ]
}
