//! Log contents: fields of requests, and nothing that clients send.

use rstest::rstest;
use serde_json::json;

use crate::{
    log::Log,
    test_accounts::{ALICE, UNLUCKY},
    test_server::{TestServer, within_deadline},
    websocket_client::Client,
};

#[tokio::test]
async fn logs_identify_the_request_without_its_contents() {
    let log = Log::new();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);

    let server = TestServer::start().await;
    let requests = [
        server.post(&json!({
            "query": "mutation SignsIn($p: String!) { signIn(password: $p) }",
            "variables": { "p": "hunter2" },
        })),
        server.post(&json!({ "query": r#"mutation { signIn(password: "hunter2) }"# })),
        server
            .post(&json!({ "query": "{ me }" }))
            .bearer_auth(UNLUCKY),
        reqwest::Client::new().get(server.get_url(&[("query", r#"{ length(text: "hunter2") }"#)])),
    ];
    for request in requests {
        within_deadline(request.header("x-request-id", "the-id").send())
            .await
            .expect("an answer");
    }
    let mut client = Client::init(&server, json!({ "authorization": ALICE })).await;
    client
        .subscribe("1", r#"{ length(text: "hunter2") }"#)
        .await;
    assert_eq!(client.next().await["type"], "next");
    assert_eq!(client.next().await["type"], "complete");
    client.send_text("hunter2").await;
    client.closed().await;

    let text = log.text();
    for expected in [
        "client_request_id=\"the-id\" operation=\"SignsIn\" status=200",
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

/// Returns the log of a server that trusts `proxies`, after requests with this header.
async fn warnings(proxies: Option<&str>, headers: &[(&'static str, &str)]) -> Vec<String> {
    let log = Log::new();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(log.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let server = TestServer::with(|settings| {
        let proxies = proxies.map(|proxies| proxies.parse().expect("a network"));
        settings.trusted_proxies.0 = proxies.into_iter().collect();
    })
    .await;
    for _ in 0..3 {
        let mut request = server.post(&json!({ "query": "{ me }" }));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        within_deadline(request.send()).await.expect("an answer");
    }
    let text = log.text();
    let lines = text.lines().filter(|line| line.contains("TRUSTED_PROXIES"));
    lines.map(str::to_owned).collect()
}

const CLIENT: &str = "192.0.2.7";

#[rstest]
#[case::the_usual_header(None, &[("x-forwarded-for", CLIENT)], 1)]
#[case::the_standard_one(None, &[("forwarded", "for=192.0.2.7")], 1)]
#[case::a_third_one(None, &[("x-real-ip", CLIENT)], 1)]
#[case::all(None, &[("x-forwarded-for", CLIENT), ("x-real-ip", CLIENT)], 1)]
#[case::others_are_trusted(Some("10.0.0.0/8"), &[("x-forwarded-for", CLIENT)], 1)]
#[case::none(None, &[], 0)]
#[case::trusted(Some("127.0.0.0/8"), &[("x-forwarded-for", CLIENT), ("x-real-ip", CLIENT)], 0)]
#[case::trusted_and_silent(Some("127.0.0.0/8"), &[], 0)]
#[case::trusted_and_not_understood(Some("127.0.0.0/8"), &[("x-real-ip", CLIENT)], 1)]
#[tokio::test]
async fn untrusted_proxy_is_logged_once(
    #[case] proxies: Option<&str>,
    #[case] headers: &[(&'static str, &str)],
    #[case] expected: usize,
) {
    let told = warnings(proxies, headers).await;
    assert_eq!(told.len(), expected, "{told:#?}");
    assert!(
        told.iter()
            .all(|line| line.contains("WARN") && line.contains("127.0.0.1"))
    );
}
