//! Questions about the schema, whose answers are kept.

use rstest::rstest;
use serde_json::json;

use crate::support::{API_KEY, Api, Backend, Process, TestApp, process};

const TYPES: &str = "types { name fields(includeDeprecated: true) { name } }";

#[rstest]
#[case::named(format!("query IntrospectionQuery {{ __schema {{ queryType {{ name }} {TYPES} }} }}"))]
#[case::unnamed(format!("{{ __schema {{ queryType {{ name }} {TYPES} }} }}"))]
#[case::with_other_fields(format!("{{ __schema {{ queryType {{ name }} {TYPES} }} me {{ id }} }}"))]
#[tokio::test]
async fn the_schema_is_told_the_same_each_time(#[case] query: String) {
    let app = TestApp::start(Backend::Sqlite).await;
    let first = app.api.send(&query, json!({})).await;
    assert!(first.get("errors").is_none(), "{first}");
    assert_eq!(first["data"]["__schema"]["queryType"]["name"], "Query");
    for _ in 0..3 {
        assert_eq!(app.api.send(&query, json!({})).await, first);
    }
    app.finish().await;
}

/// Values are the user's own, although the schema is asked for as well.
#[tokio::test]
async fn what_is_asked_for_besides_is_not_kept() {
    let app = TestApp::start(Backend::Sqlite).await;
    let query = "{ __schema { queryType { name } } me { email } }";
    for email in ["a@example.com", "b@example.com"] {
        let user = app.user(email).await;
        for _ in 0..2 {
            let answer = user.data(query, json!({})).await;
            assert_eq!(answer["me"]["email"], email);
        }
    }
    app.finish().await;
}

/// The program as it is run in earnest, with no more set than it needs.
#[tokio::test]
async fn in_earnest_the_schema_is_not_told_and_its_editor_not_served() {
    let app = TestApp::start(Backend::Sqlite).await;
    let directory = tempfile::TempDir::new().unwrap();
    let database = format!("sqlite:{}/gateway.sqlite", directory.path().display());
    let settings = process::settings(&database, app.config.intuned.base_url.as_str(), API_KEY);
    let mut gateway = Process::spawn(&settings);
    let url = gateway.ready().await;
    let api = Api::new(&url);
    for query in [
        "{ __schema { queryType { name } } }",
        "{ __type(name: \"User\") { name } }",
        "{ mee { id } }",
    ] {
        let answer = api.send(query, json!({})).await;
        let told = answer.to_string();
        for word in ["Did you mean", "\"name\":", "\"id\":"] {
            assert!(!told.contains(word), "{answer}");
        }
    }
    let editor = reqwest::get(url.replace("/graphql", "/graphiql")).await;
    assert_eq!(editor.unwrap().status(), 404);
    gateway.stop().await;
    app.finish().await;
}
