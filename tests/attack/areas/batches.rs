//! Batches: a JSON list of operations in one request, where they are off and where they are on.

use serde_json::{Value, json};

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::{Send, post_body, read_anew},
    stage::Stage,
    support::Backend,
};

const SIGN_OUT: &str = "mutation { signOut { signedOut } }";
const SIGN_UP: &str =
    "mutation { signUp(input: {email: \"eve@example.com\", password: \"canary-\"}) { token } }";
const GUESS: &str = "mutation { signIn(input: {email: \"alice@example.com\", password: \"canary-guess\"}) { token } }";
const CONNECT: &str = "mutation { connectOrangeHrm(input: {username: \"\", password: \"canary-pw\"}) { operation { id } } }";
const COMPLEX: &str = "QUERY_TOO_COMPLEX";

/// As many operations as are allowed where batches are on.
const LIMIT: usize = 4;

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::start(backend).await;
    let mut outcome = play(&stage, off()).await;
    stage.stop().await;
    let stage = Stage::with(backend, |config| config.http.batch_limit = LIMIT).await;
    for cases in [wholes(), tries(), entries()] {
        let on = play(&stage, cases).await;
        outcome.cases += on.cases;
        outcome.failures.extend(on.failures);
    }
    stage.stop().await;
    outcome
}

fn batch(texts: &[&str]) -> String {
    let entries: Vec<_> = texts.iter().map(|text| json!({ "query": text })).collect();
    Value::from(entries).to_string()
}

fn by_alice(body: &str) -> Send {
    post_body("Authorization: Bearer {alice}\n", body)
}

fn off() -> Vec<Case> {
    let bodies = [
        ("of one", batch(&[SIGN_OUT])),
        ("of two", batch(&[SIGN_OUT, SIGN_OUT])),
        ("of 500", batch(&["{a}"; 500])),
        ("of guesses", batch(&[GUESS; 10])),
        ("of nothing", "[]".into()),
        (
            "behind white space",
            format!(" \t\r\n{}", batch(&[SIGN_OUT])),
        ),
        ("of batches", format!("[{}]", batch(&[SIGN_OUT]))),
    ];
    bodies
        .iter()
        .map(|(name, body)| {
            let due = Due::Error(400, "BAD_REQUEST");
            case(
                format!("a batch {name}, where batches are off"),
                by_alice(body),
                due,
            )
        })
        .collect()
}

#[rustfmt::skip]
fn wholes() -> Vec<Case> {
    let bad = || Due::Error(400, "BAD_REQUEST");
    let whole = |name: &str, body: &str| case(format!("a batch {name}"), by_alice(body), bad());
    let cookie = "Cookie: intuned_gateway_session={alice}\n";
    let body = batch(&[SIGN_OUT]);
    let get = "GET /graphql?query=%5B%7B%22query%22%3A%22%7Bme%7Bid%7D%7D%22%7D%5D HTTP/1.1\nHost: {host}\nConnection: close\n\n";
    let plain = format!("POST /graphql HTTP/1.1\nHost: {{host}}\nConnection: close\nAuthorization: Bearer {{alice}}\nContent-Type: text/plain\nContent-Length: {{length}}\n\n{body}");
    vec![
        whole("of nothing", "[]"),
        whole("of one too many", &batch(&[SIGN_OUT; LIMIT + 1])),
        whole("of 500,000 numbers", &format!("[{}0]", "0,".repeat(500_000))),
        whole("of 10,000 lists", &format!("[{}[]]", "[],".repeat(10_000))),
        whole("nested 100,000 deep", &"[".repeat(100_000)),
        whole("nested 100,000 deep and back", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))),
        whole("cut short", body.trim_end_matches(']')),
        whole("with a comma at its end", &format!("{},]", body.trim_end_matches(']'))),
        whole("after another", &format!("{body}{body}")),
        whole("before an object", &format!("{body}{{\"query\":\"{SIGN_OUT}\"}}")),
        whole("behind a byte order mark", &format!("\u{feff}{body}")),
        case("a batch of 2 MiB", by_alice(&format!("[{}]", " ".repeat(2 << 20))), Due::Error(413, "PAYLOAD_TOO_LARGE")),
        case("a batch as text/plain", Send::Text(plain), Due::Error(415, "UNSUPPORTED_MEDIA_TYPE")),
        case("a batch by GET", Send::Text(get.into()), Due::OneOf(&[200, 400])),
        case("a batch of a foreign page with a cookie", post_body(&format!("{cookie}Origin: http://evil.example\n"), &body), Due::Error(403, "FORBIDDEN")),
        case("a batch of a page of no origin with a cookie", post_body(&format!("{cookie}Origin: null\n"), &body), Due::Error(403, "FORBIDDEN")),
        case("a batch as an event stream", by_alice(&body).with("Accept: text/event-stream"), Due::Error(406, "NOT_ACCEPTABLE")),
        case("a batch in parts", by_alice(&body).with("Accept: multipart/mixed;subscriptionSpec=1.0"), Due::Error(406, "NOT_ACCEPTABLE")),
    ]
}

/// A request is one try, however many operations it has.
#[rustfmt::skip]
fn tries() -> Vec<Case> {
    let sent = |name: &str, texts: &[&str], due: &'static [&'static str]| case(name, by_alice(&batch(texts)), Due::Batch(due));
    vec![
        sent("guesses in a batch", &[GUESS; LIMIT], &["INVALID_CREDENTIALS", COMPLEX, COMPLEX, COMPLEX]),
        sent("guesses between other things", &[GUESS, "{ me { id } }", GUESS], &["INVALID_CREDENTIALS", "", COMPLEX]),
        sent("a guess behind a fragment", &[GUESS, "mutation { ...F } fragment F on Mutation { signIn(input: {email: \"alice@example.com\", password: \"canary-guess\"}) { token } }"], &["INVALID_CREDENTIALS", COMPLEX]),
        sent("accounts in a batch", &[SIGN_UP, SIGN_UP], &["BAD_USER_INPUT", COMPLEX]),
        sent("attempts to connect in a batch", &[CONNECT, CONNECT, CONNECT], &["BAD_USER_INPUT", COMPLEX, COMPLEX]),
        sent("a guess, an account and an attempt", &[GUESS, SIGN_UP, CONNECT], &["INVALID_CREDENTIALS", COMPLEX, COMPLEX]),
        sent("a guess after two by alias", &["mutation { a: signOut { signedOut } signIn signUp }", GUESS], &[COMPLEX, "INVALID_CREDENTIALS"]),
    ]
}

#[rustfmt::skip]
fn entries() -> Vec<Case> {
    let sent = |name: &str, body: &Value, due: &'static [&'static str]| case(name, by_alice(&body.to_string()), Due::Batch(due));
    let query = |text: &str| json!({ "query": text });
    let aliases: String = (0..16).map(|alias| format!("a{alias}: __typename ")).collect();
    let aliases = query(&format!("{{ {aliases} }}"));
    let directives = query(&format!("{{ me {} {{ id }} }}", "@x".repeat(10_000)));
    let cycle = query("{ ...F } fragment F on Query { ...F }");
    let ok = query("{ __typename }");
    let operation = query("{ operation(id: \"8d1f4f0e-5f5c-4f2f-9a53-6f0d3a9f4a11\") { id } }");
    let stranger = post_body("Authorization: Bearer canary-x\n", &batch(&[SIGN_OUT, CONNECT, "{ me { id } }"]));
    let raw: Value = serde_json::from_str(&format!(r#"{{"query":"{{ __typename }}","variables":{{"a":{}}}}}"#, read_anew(3, 40))).unwrap_or_default();
    vec![
        sent("what is no object, in a batch", &json!([7, null, "canary-x", ok]), &["BAD_REQUEST", "BAD_REQUEST", "BAD_REQUEST", ""]),
        sent("a batch in a batch", &json!([[ok, ok], ok]), &["BAD_REQUEST", ""]),
        sent("a deep batch in a batch", &json!([[[[ok]]], {}]), &["BAD_REQUEST", "BAD_REQUEST"]),
        sent("aliases in a batch", &json!([aliases, aliases, aliases, aliases]), &[COMPLEX, COMPLEX, COMPLEX, COMPLEX]),
        sent("directives in a batch", &json!([directives, ok]), &[COMPLEX, ""]),
        sent("a circle in a batch", &json!([cycle, ok]), &["GRAPHQL_VALIDATION_FAILED", ""]),
        sent("subscriptions in a batch", &json!([query("subscription { operationStatus(operationId: \"x\") { kind } }"), ok]), &["NOT_ACCEPTABLE", ""]),
        sent("a password before a syntax error, in a batch", &json!([query("mutation { signIn(input: {email: \"a\", password: \"canary-pw\"}) { token "), ok]), &["GRAPHQL_PARSE_FAILED", ""]),
        sent("variables of a wrong type, in a batch", &json!([{ "query": "{ me { id } }", "variables": ["canary-x"] }, ok]), &["BAD_REQUEST", ""]),
        sent("2,000 values in each", &json!([{ "query": "{ __typename }", "variables": { "a": vec![0; 2_000] } }, ok]), &["BAD_REQUEST", ""]),
        sent("JSON in a text that is to be read anew, in a batch", &json!([raw, ok]), &["", ""]),
        sent("somebody else's operation, in a batch", &json!([operation, ok]), &["", ""]),
        sent("a text that is not kept, by its hash", &json!([{ "documentId": "sha256:canary" }, ok]), &["PERSISTED_QUERY_NOT_FOUND", ""]),
        case("a batch with a bad token", stranger, Due::Batch(&["UNAUTHENTICATED", "UNAUTHENTICATED", ""])),
    ]
}
