//! Request ids in the audit trail: the gateway's own, or a trusted proxy's.

use reqwest::header::HeaderMap;
use rstest::rstest;
use serde_json::json;

use crate::support::{Backend, Setup, TestApp};

/// The id that the sender gives its request.
const THEIRS: &str = "their-id.1_2";

fn trusting() -> Setup {
    Setup {
        configure: |config| {
            config.http.trusted_proxies.0 = vec!["127.0.0.0/8".parse().unwrap()];
        },
        ..Setup::default()
    }
}

#[rstest]
#[case::of_a_stranger(Setup::default(), false)]
#[case::of_a_trusted_proxy(trusting(), true)]
#[tokio::test]
async fn the_audit_trail_has_the_id_that_the_answer_has(
    #[case] setup: Setup,
    #[case] taken: bool,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    let sign_in = "mutation($i: SignInInput!) { signIn(input: $i) { token } }";
    let input = json!({ "i": { "email": "a@example.com", "password": "correct horse" } });
    let request = reqwest::Client::new()
        .post(&app.api.url)
        .header("x-request-id", THEIRS)
        .json(&json!({ "query": sign_in, "variables": input }));
    let headers: HeaderMap = request.send().await.unwrap().headers().clone();
    let answered = headers["x-request-id"].to_str().unwrap();
    assert_eq!(answered == THEIRS, taken);
    let trail = "{ me { auditTrail(first: 1) { edges { node { kind requestId } } } } }";
    let trail = user.data(trail, json!({})).await;
    let event = &trail["me"]["auditTrail"]["edges"][0]["node"];
    assert_eq!(
        *event,
        json!({ "kind": "SIGNED_IN", "requestId": answered })
    );
    app.finish().await;
}
