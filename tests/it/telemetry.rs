//! One thread from a request to the calls of Intuned: its id in the log and on the wire, its trace at a
//! collector.

use opentelemetry_proto::tonic::trace::v1::Span;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers};

use crate::support::{
    API_KEY, Api, Backend, Collector, Process, TestDatabase, eventually, process,
};

const PASSWORD: &str = "canary-password-7d3e";
const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;

fn trace_of(span: &Span) -> u128 {
    u128::from_be_bytes(span.trace_id.as_slice().try_into().unwrap())
}

/// An Intuned that takes a sign-in, calls it what its session is called, and is done with it at once.
async fn intuned() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(matchers::method("POST"))
        .and(matchers::path_regex("/auth-sessions/create$"))
        .respond_with(|request: &Request| {
            let id = request.body_json::<Value>().unwrap()["id"].take();
            let start = json!({ "status": "started", "operationId": id });
            ResponseTemplate::new(201).set_body_json(start)
        })
        .mount(&server)
        .await;
    Mock::given(matchers::method("GET"))
        .and(matchers::path_regex("/result$"))
        .respond_with(|request: &Request| {
            let id = request.url.path_segments().unwrap().nth_back(1);
            let done = json!({ "status": "done", "authSessionId": id });
            ResponseTemplate::new(200).set_body_json(done)
        })
        .mount(&server)
        .await;
    server
}

async fn connect(url: &str, token: &str) -> reqwest::Response {
    let query =
        "mutation($i: ConnectOrangeHrmInput!) { connectOrangeHrm(input: $i) { operation { id } } }";
    let input = json!({ "i": { "username": "Admin", "password": PASSWORD } });
    send(url, token, json!({ "query": query, "variables": input })).await
}

/// As part of the trace.
async fn send(url: &str, token: &str, body: Value) -> reqwest::Response {
    reqwest::Client::new()
        .post(url)
        .bearer_auth(token)
        .header("x-request-id", "the-request")
        .header(
            "traceparent",
            format!("00-{TRACE:032x}-b7ad6b7169203331-01"),
        )
        .header("tracestate", "vendor=words")
        .json(&body)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_request_can_be_followed_to_intuned_and_in_traces() {
    let (collector, tracing) = Collector::start().await;
    let intuned = intuned().await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let mut settings = process::settings(database.url.expose_secret(), &intuned.uri(), API_KEY);
    settings.extend(tracing);
    settings.extend([
        ("OTEL_SERVICE_NAME", "gateway-under-test".to_owned()),
        ("RUST_LOG", "debug".to_owned()),
        ("TRUSTED_PROXIES", "127.0.0.1".to_owned()),
    ]);
    let mut gateway = Process::spawn(&settings);
    let url = gateway.ready().await;
    let user = Api::new(&url).sign_up("a@example.com").await;
    let token = user.token.clone().unwrap();
    let answer = connect(&url, &token).await;
    assert_eq!(answer.headers()["x-request-id"], "the-request");
    let answer: Value = answer.json().await.unwrap();
    let operation = answer["data"]["connectOrangeHrm"]["operation"]["id"]
        .as_str()
        .unwrap();
    eventually("done", async || {
        user.operation(operation).await["status"] == "DONE"
    })
    .await;
    // The second time it is answered with what was kept.
    for _ in 0..2 {
        let answer = send(&url, &token, json!({ "query": "{ __typename }" })).await;
        let answer: Value = answer.json().await.unwrap();
        assert_eq!(answer["data"]["__typename"], "Query");
    }
    gateway.stop().await;

    // Intuned was told which request each call was for, and of which trace.
    for call in intuned.received_requests().await.unwrap() {
        assert_eq!(call.headers["x-request-id"], "the-request", "{}", call.url);
        let parent = call.headers["traceparent"].to_str().unwrap();
        assert!(
            parent.contains(&format!("{TRACE:032x}")),
            "{}: {parent}",
            call.url
        );
    }

    // The collector has the request, the operation that it began, and the calls, as one trace.
    let spans = collector.spans();
    let ours: Vec<_> = spans
        .iter()
        .filter(|span| trace_of(span) == TRACE)
        .collect();
    let names: Vec<_> = ours.iter().map(|span| span.name.as_str()).collect();
    for name in ["request", "graphql", "operation", "upstream call"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let executed = names.iter().filter(|name| **name == "graphql");
    assert_eq!(executed.count(), 3, "{names:?}");
    for span in &ours {
        let has_parent = ours
            .iter()
            .any(|other| other.span_id == span.parent_span_id);
        assert!(
            has_parent || span.name == "request",
            "{} hangs in the air",
            span.name
        );
    }
    let text = collector.text();
    for expected in [
        "gateway-under-test",
        "create.start",
        "create.result",
        "the-request",
        operation,
    ] {
        assert!(text.contains(expected), "{expected}");
    }
    for secret in [
        PASSWORD,
        API_KEY,
        &token,
        "correct horse",
        "a secret for tests",
    ] {
        assert!(!text.contains(secret), "{secret} was traced");
    }

    // Every line about the operation says which request began it.
    let log = gateway.log();
    let about: Vec<_> = log
        .lines()
        .filter(|line| line.contains(operation))
        .collect();
    assert!(about.len() >= 3, "{log}");
    for line in about {
        assert!(line.contains("the-request"), "{line}");
        serde_json::from_str::<Value>(line).unwrap();
    }
}

#[tokio::test]
async fn a_stranger_names_neither_the_request_nor_its_trace() {
    let (collector, tracing) = Collector::start().await;
    let intuned = intuned().await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let mut settings = process::settings(database.url.expose_secret(), &intuned.uri(), API_KEY);
    settings.extend(tracing);
    let mut gateway = Process::spawn(&settings);
    let url = gateway.ready().await;
    let user = Api::new(&url).sign_up("a@example.com").await;
    let answer = connect(&url, user.token.as_deref().unwrap()).await;
    let id = answer.headers()["x-request-id"].clone();
    let answer: Value = answer.json().await.unwrap();
    let operation = answer["data"]["connectOrangeHrm"]["operation"]["id"]
        .as_str()
        .unwrap();
    eventually("done", async || {
        user.operation(operation).await["status"] == "DONE"
    })
    .await;
    gateway.stop().await;
    for call in intuned.received_requests().await.unwrap() {
        assert_eq!(call.headers["x-request-id"], id, "{}", call.url);
        let parent = call.headers["traceparent"].to_str().unwrap();
        assert!(
            !parent.contains(&format!("{TRACE:032x}")),
            "{}: {parent}",
            call.url
        );
        let state = call.headers.get("tracestate");
        assert!(
            state.is_none_or(axum::http::HeaderValue::is_empty),
            "{}: {state:?}",
            call.url
        );
    }
    // The trace is the gateway's own, and says which one the client spoke of.
    let spans = collector.spans();
    assert!(spans.iter().all(|span| trace_of(span) != TRACE));
    let links = spans.iter().flat_map(|span| &span.links);
    let links: Vec<_> = links
        .filter(|link| link.trace_id == TRACE.to_be_bytes())
        .collect();
    assert!(!links.is_empty() && links.iter().all(|link| link.trace_state.is_empty()));
    let log = gateway.log();
    assert!(
        log.contains(r#""client_request_id":"the-request""#),
        "{log}"
    );
    assert!(!log.contains(r#""request_id":"the-request""#), "{log}");
}

#[tokio::test]
async fn without_a_collector_intuned_is_told_of_the_request_all_the_same() {
    let intuned = intuned().await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let mut settings = process::settings(database.url.expose_secret(), &intuned.uri(), API_KEY);
    settings.push(("LOG_FORMAT", "text".to_owned()));
    settings.push(("TRUSTED_PROXIES", "127.0.0.1".to_owned()));
    settings.push(("LISTEN_ADDR", free_address()));
    let url = format!("http://{}/graphql", settings.last().unwrap().1);
    let mut gateway = Process::spawn(&settings);
    eventually("it serves", async || {
        reqwest::get(url.replace("graphql", "health/ready"))
            .await
            .is_ok()
    })
    .await;
    let user = Api::new(&url).sign_up("a@example.com").await;
    let answer: Value = connect(&url, user.token.as_deref().unwrap())
        .await
        .json()
        .await
        .unwrap();
    let operation = answer["data"]["connectOrangeHrm"]["operation"]["id"]
        .as_str()
        .unwrap();
    eventually("done", async || {
        user.operation(operation).await["status"] == "DONE"
    })
    .await;
    gateway.stop().await;
    let calls = intuned.received_requests().await.unwrap();
    assert!(calls.len() >= 2);
    for call in calls {
        assert_eq!(call.headers["x-request-id"], "the-request");
        assert!(!call.headers.contains_key("traceparent"));
    }
    let log = gateway.log();
    let about: Vec<_> = log
        .lines()
        .filter(|line| line.contains(operation))
        .collect();
    assert!(about.len() >= 3, "{log}");
    assert!(
        about.iter().all(|line| line.contains("the-request")),
        "{about:#?}"
    );
}

#[tokio::test]
async fn a_collector_that_is_away_changes_nothing() {
    let intuned = intuned().await;
    let database = TestDatabase::create(Backend::Sqlite).await;
    let mut settings = process::settings(database.url.expose_secret(), &intuned.uri(), API_KEY);
    settings.push((
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        format!("http://{}", free_address()),
    ));
    let mut gateway = Process::spawn(&settings);
    let url = gateway.ready().await;
    let user = Api::new(&url).sign_up("a@example.com").await;
    assert_eq!(
        user.data("{ me { email } }", json!({})).await["me"]["email"],
        "a@example.com"
    );
    gateway.stop().await;
}

pub(crate) fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}
