//! Trusted documents: the only ones that run, where an operator names a file of them.

use std::path::PathBuf;

use intuned_gateway::app::AppError;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Api, Backend, Setup, TestApp};

fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

fn extensions(text: &str) -> Value {
    json!({ "persistedQuery": { "version": 1, "sha256Hash": hash(text) } })
}

fn code(answer: &Value) -> &str {
    let error = answer["errors"].get(0).unwrap_or(&answer["payload"][0]);
    error["extensions"]["code"].as_str().expect("a code")
}

fn trusted() -> Setup {
    Setup {
        configure: |config| {
            let file = "tests/it/fixtures/trusted-documents.json";
            config.trusted_documents = Some(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file));
        },
        ..Setup::default()
    }
}

async fn ask(api: &Api, body: Value) -> Value {
    let mut request = reqwest::Client::new().post(&api.url).json(&body);
    if let Some(token) = &api.token {
        request = request.bearer_auth(token);
    }
    let response = request.send().await.expect("an answer");
    response.json().await.expect("JSON")
}

#[tokio::test]
async fn only_trusted_documents_run() {
    let app = TestApp::with(Backend::Sqlite, trusted()).await;
    let input = json!({ "email": "ada@example.com", "password": "correct horse" });
    let sign_up = json!({ "documentId": "sign-up", "variables": { "input": input } });
    let answer = ask(&app.api, sign_up).await;
    let token = answer["data"]["signUp"]["token"].as_str().expect("a token");
    let user = app.api.signed_in(token);

    let text = "query Me { me { email } }";
    let me = json!({ "data": { "me": { "email": "ada@example.com" } } });
    for body in [
        json!({ "documentId": "dd5a5b7b" }),
        json!({ "documentId": format!("sha256:{}", hash(text)) }),
        json!({ "extensions": extensions(text) }),
        json!({ "extensions": { "persistedQuery": { "version": 1, "sha256Hash": "dd5a5b7b" } } }),
        json!({ "query": text }),
        json!({ "query": text, "extensions": extensions(text) }),
    ] {
        assert_eq!(ask(&user, body.clone()).await, me, "{body}");
    }
    let other = "query Me { me { id email } }";
    for (body, expected) in [
        (
            json!({ "documentId": "dd5a5b7c" }),
            "PERSISTED_QUERY_NOT_IN_LIST",
        ),
        (
            json!({ "extensions": extensions(other) }),
            "PERSISTED_QUERY_NOT_IN_LIST",
        ),
        (json!({ "query": other }), "QUERY_NOT_IN_SAFELIST"),
        (
            json!({ "query": other, "documentId": "dd5a5b7b" }),
            "QUERY_NOT_IN_SAFELIST",
        ),
        (
            json!({ "query": other, "extensions": extensions(other) }),
            "QUERY_NOT_IN_SAFELIST",
        ),
        (
            json!({ "query": "{ __typename }" }),
            "QUERY_NOT_IN_SAFELIST",
        ),
    ] {
        let answer = ask(&user, body.clone()).await;
        assert_eq!(code(&answer), expected, "{body}");
    }

    let mut socket = app.socket(&user).await;
    let follow = |payload| json!({ "type": "subscribe", "id": "1", "payload": payload });
    let variables = json!({ "id": "00000000-0000-0000-0000-000000000000" });
    let payload = json!({ "documentId": "follow", "variables": variables });
    assert!(socket.try_send(&follow(payload)).await);
    let answer = socket.next().await.expect("a message");
    assert_eq!(code(&answer["payload"]), "NOT_FOUND", "{answer}");
    assert_eq!(socket.next().await.expect("a message")["type"], "complete");
    assert!(socket.try_send(&follow(json!({ "query": other }))).await);
    let answer = socket.next().await.expect("a message");
    assert_eq!(code(&answer), "QUERY_NOT_IN_SAFELIST", "{answer}");
    app.finish().await;
}

#[tokio::test]
async fn a_gateway_with_faulty_trusted_documents_does_not_start() {
    let mut app = TestApp::start(Backend::Sqlite).await;
    app.stop().await;
    let file = tempfile::NamedTempFile::new().expect("a file");
    let manifest = r#"{ "good": "{ me { id } }", "bad": "{ you }", "worse": "{" }"#;
    std::fs::write(file.path(), manifest).expect("written");
    app.config.trusted_documents = Some(file.path().to_owned());
    let error = app.start_another().await.expect_err("it does not start");
    let AppError::TrustedDocuments { source, .. } = error else {
        panic!("{error}")
    };
    let told = source.to_string();
    assert!(told.contains(r#""bad""#) && told.contains(r#""worse""#) && !told.contains("good"));
    app.finish().await;
}
