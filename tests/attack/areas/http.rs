//! Methods, media types, bodies and paths.

use serde_json::json;

use crate::{
    case::{Case, Due, case, play},
    report::Outcome,
    send::{Send, post_body},
    stage::Stage,
    support::Backend,
};

/// Ends Alice's session: where it is not executed, she is still signed in.
const SIGN_OUT: &str = r#"{"query":"mutation { signOut { signedOut } }"}"#;

pub(crate) async fn area(backend: Backend) -> Outcome {
    let stage = Stage::start(backend).await;
    let cases = [methods(), media(), bodies(), paths()]
        .into_iter()
        .flatten();
    let outcome = play(&stage, cases.collect()).await;
    stage.stop().await;
    outcome
}

fn sent(method: &str, headers: &str, body: &str) -> Send {
    Send::Text(format!(
        "{method} /graphql HTTP/1.1\nHost: {{host}}\nConnection: close\nAuthorization: Bearer {{alice}}\n\
         {headers}Content-Length: {{length}}\n\n{body}"
    ))
}

#[rustfmt::skip]
fn methods() -> Vec<Case> {
    let json = "Content-Type: application/json\n";
    let refused = ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "CANARY", "post"];
    let mut cases: Vec<Case> = refused
        .iter()
        .map(|method| {
            let due = Due::Error(405, "METHOD_NOT_ALLOWED");
            case(format!("a mutation by {method}"), sent(method, json, SIGN_OUT), due)
        })
        .collect();
    for (name, query) in [
        ("a mutation by GET", "mutation%7BsignOut%7BsignedOut%7D%7D"),
        ("a mutation by GET behind a query", "query+A%7Bme%7Bid%7D%7Dmutation+B%7BsignOut%7BsignedOut%7D%7D&operationName=B"),
        ("a subscription by GET", "subscription%7BoperationStatus(operationId:1)%7Bkind%7D%7D"),
    ] {
        let get = format!("GET /graphql?query={query} HTTP/1.1\nHost: {{host}}\nConnection: close\nAuthorization: Bearer {{alice}}\n\n");
        cases.push(case(name, Send::Text(get), Due::Error(405, "METHOD_NOT_ALLOWED")));
    }
    for header in ["X-HTTP-Method-Override", "X-Method-Override", "X-HTTP-Method"] {
        let get = format!("GET /graphql?query=%7B__typename%7D HTTP/1.1\nHost: {{host}}\nConnection: close\n{header}: POST\nContent-Type: application/json\nContent-Length: {{length}}\nAuthorization: Bearer {{alice}}\n\n{SIGN_OUT}");
        let due = Due::Data(json!({ "__typename": "Query" }));
        cases.push(case(format!("a mutation by GET with {header}"), Send::Text(get), due));
    }
    cases.push(case("a mutation by HEAD", sent("HEAD", json, SIGN_OUT), Due::OneOf(&[400, 405])));
    cases.push(case("CONNECT to somewhere else", Send::Text("CONNECT example.com:80 HTTP/1.1\nHost: example.com:80\nConnection: close".into()), Due::OneOf(&[400, 404, 405])));
    cases
}

#[rustfmt::skip]
fn media() -> Vec<Case> {
    let undeclared = [
        "", "text/plain", "text/plain; charset=utf-8", "text/html", "text/json", "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x", "multipart/mixed; boundary=x", "application/graphql", "application/xml",
        "application/octet-stream", "application/json-patch+json", "application/jsonx", "application/json, text/plain",
        "text/plain, application/json", "application/json; charset=utf-7", "application/json; charset=utf-16",
        "application/json; charset=latin1", "application / json", "\"application/json\"", "*/*", "null",
    ];
    let mut cases: Vec<Case> = undeclared
        .iter()
        .map(|media| {
            let header = if media.is_empty() { String::new() } else { format!("Content-Type: {media}\n") };
            let due = Due::Error(415, "UNSUPPORTED_MEDIA_TYPE");
            case(format!("JSON declared as {media:?}"), sent("POST", &header, SIGN_OUT), due)
        })
        .collect();
    let json = "Content-Type: application/json\n";
    let two = "Content-Type: text/plain\nContent-Type: application/json\n";
    cases.push(case("two content types, the first a simple one", sent("POST", two, SIGN_OUT), Due::Error(415, "UNSUPPORTED_MEDIA_TYPE")));
    let query = r#"{"query":"{ __typename }"}"#;
    for accept in ["text/html", "image/*", "application/json; charset=utf-16", "application/json;q=0", "canary/x", "\u{1}"] {
        let headers = format!("{json}Accept: {accept}\n");
        cases.push(case(format!("Accept: {accept:?}"), sent("POST", &headers, SIGN_OUT), Due::OneOf(&[400, 406])));
    }
    let many = format!("{json}Accept: {}*/*\n", "a/b;q=0.1,".repeat(1000));
    cases.push(case("1,000 media ranges", sent("POST", &many, query), Due::Data(json!({ "__typename": "Query" }))));
    for coding in ["gzip", "x-gzip", "deflate", "br", "zstd", "compress", "identity, gzip", "identity\nContent-Encoding: gzip", "*", "gzip;q=0", "canary"] {
        let headers = format!("{json}Content-Encoding: {coding}\n");
        let due = Due::Error(415, "UNSUPPORTED_MEDIA_TYPE");
        cases.push(case(format!("a body as {coding:?}"), sent("POST", &headers, SIGN_OUT), due));
    }
    let gzip = format!("{json}Content-Encoding: gzip\n");
    cases.push(case("a compressed body", sent("POST", &gzip, "\u{1f}\u{8b}"), Due::Header(415, "accept-encoding", "identity")));
    let identity = format!("{json}Content-Encoding: identity\n");
    cases.push(case("a body as it is", sent("POST", &identity, query), Due::Data(json!({ "__typename": "Query" }))));
    cases
}

#[rustfmt::skip]
fn bodies() -> Vec<Case> {
    let bad = [
        ("nothing", ""), ("no JSON", "canary-x"), ("a string", "\"{ __typename }\""), ("null", "null"), ("a number", "1e999"),
        ("an empty object", "{}"), ("a batch", r#"[{"query":"{ __typename }"},{"query":"{ __typename }"}]"#),
        ("an empty batch", "[]"), ("a query that is a list", r#"{"query":["{ __typename }"]}"#),
        ("a query that is null", r#"{"query":null}"#), ("variables that are a list", r#"{"query":"{ __typename }","variables":[]}"#),
        ("variables that are text", r#"{"query":"{ __typename }","variables":"{}"}"#),
        ("a name that is an object", r#"{"query":"{ __typename }","operationName":{}}"#),
        ("extensions that are text", r#"{"query":"{ __typename }","extensions":"x"}"#),
        ("two documents after each other", r#"{"query":"{ __typename }"}{"query":"{ __typename }"}"#),
        ("a comment", "/* */{\"query\":\"{ __typename }\"}"), ("a byte order mark", "\u{feff}{\"query\":\"{ __typename }\"}"),
        ("NaN", r#"{"query":"{ __typename }","variables":{"a":NaN}}"#), ("a lone surrogate", r#"{"query":"{ __typename }","variables":{"a":"\ud800"}}"#),
        ("a raw control character", "{\"query\":\"{\t__typename }\u{1}\"}"), ("cut short", r#"{"query":"{ __typename }"#),
    ];
    let mut cases: Vec<Case> = bad
        .iter()
        .map(|(name, body)| case(format!("a body that is {name}"), post_body("", body), Due::Error(400, "BAD_REQUEST")))
        .collect();
    cases.push(case("a body nested 100,000 deep", post_body("", &"[".repeat(100_000)), Due::Error(400, "BAD_REQUEST")));
    cases.push(case("a query nested 100,000 deep in JSON", post_body("", &format!("{{\"query\":{}1", "{\"a\":".repeat(100_000))), Due::Error(400, "BAD_REQUEST")));
    cases.push(case("2 MiB", post_body("", &" ".repeat(2 << 20)), Due::Error(413, "PAYLOAD_TOO_LARGE")));
    let long = "POST /graphql HTTP/1.1\nHost: {host}\nContent-Type: application/json\nContent-Length: 300000000\n\n";
    cases.push(case("300 MB announced", Send::Text(long.into()), Due::Error(413, "PAYLOAD_TOO_LARGE")));
    let mut chunked = b"POST /graphql HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    chunked.extend(format!("10000\r\n{}\r\n", " ".repeat(0x10000)).repeat(40).into_bytes());
    cases.push(case("2.6 MB in chunks", Send::Bytes(chunked), Due::Error(413, "PAYLOAD_TOO_LARGE")));
    let mut invalid = b"POST /graphql HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: 14\r\n\r\n".to_vec();
    invalid.extend(b"{\"query\":\"\xff\xfe\"}");
    cases.push(case("invalid UTF-8", Send::Bytes(invalid), Due::Error(400, "BAD_REQUEST")));
    let keys = format!("{{{}\"query\":\"{{ __typename }}\"}}", "\"a\":1,".repeat(50_000));
    cases.push(case("50,000 unknown keys", post_body("", &keys), Due::Error(400, "BAD_REQUEST")));
    for key in ["query", "operationName", "variables", "extensions"] {
        let get = format!("GET /graphql?query=%7B__typename%7D&{key}=%7B%7D&{key}=%7B%7D HTTP/1.1\nHost: {{host}}\nConnection: close\n\n");
        cases.push(case(format!("{key} twice in a URL"), Send::Text(get), Due::Error(400, "BAD_REQUEST")));
    }
    cases
}

#[rustfmt::skip]
fn paths() -> Vec<Case> {
    let paths = [
        "/../etc/passwd", "/..%2f..%2fetc%2fpasswd", "/%2e%2e/%2e%2e/etc/passwd", "/graphql/../../etc/passwd", "/graphql/", "/graphql%00",
        "/graphql;a=b", "//graphql", "/GRAPHQL", "/graphql%2f", "/graphql.json", "/.env", "/.git/config", "/actuator/env", "/metrics", "/debug/pprof",
        "/health", "/health/live/..", "/%", "/%zz", "/%c0%ae%c0%ae/", "/\u{fc}", "/x\u{1f4a9}", "/assets/..%5c..%5cCargo.toml", "/admin", "/index.php",
    ];
    paths
        .iter()
        .map(|path| {
            let get = format!("GET {path} HTTP/1.1\nHost: {{host}}\nConnection: close\n\n");
            case(format!("the path {path}"), Send::Text(get), Due::OneOf(&[400, 404]))
        })
        .collect()
}
