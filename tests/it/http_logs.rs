//! What is logged: fields, and nothing of what callers send.

use serde_json::json;

use crate::{
    http_toy::{ALICE, Toy, UNLUCKY, soon},
    support::Log,
    websocket_client::Client,
};

#[tokio::test]
async fn logs_name_the_request_and_hold_nothing_of_its_contents() {
    let log = Log::new();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let toy = Toy::start().await;
    let requests = [
        toy.post(&json!({
            "query": "mutation SignsIn($p: String!) { signIn(password: $p) }",
            "variables": { "p": "hunter2" },
        })),
        toy.post(&json!({ "query": r#"mutation { signIn(password: "hunter2) }"# })),
        toy.post(&json!({ "query": "{ me }" })).bearer_auth(UNLUCKY),
        reqwest::Client::new().get(toy.get_url(&[("query", r#"{ length(text: "hunter2") }"#)])),
    ];
    for request in requests {
        soon(request.header("x-request-id", "the-id").send())
            .await
            .expect("an answer");
    }
    let mut client = Client::init(&toy, json!({ "authorization": ALICE })).await;
    client
        .subscribe("1", r#"{ length(text: "hunter2") }"#)
        .await;
    assert_eq!(client.next().await["type"], "next");
    assert_eq!(client.next().await["type"], "complete");
    client.send_text("hunter2").await;
    client.closed().await;

    let text = log.text();
    for expected in [
        "method=\"POST\" path=\"/graphql\" request_id=the-id operation=\"SignsIn\" status=200",
        "method=\"GET\" path=\"/graphql\"",
        "a session could not be looked up",
        "closing a socket",
    ] {
        assert!(
            text.contains(expected),
            "{expected:?} is missing in\n{text}"
        );
    }
    for secret in ["hunter2", ALICE, UNLUCKY, "signIn"] {
        assert!(!text.contains(secret), "{secret:?} was logged");
    }
}
