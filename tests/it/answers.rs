//! What answers look like, to the letter: what failed, what was left out, and in which order.

use intuned_simulator::{Call, Fault};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Api, Backend, Setup, TestApp, eventually};

const WRONG: &str = "operation(id: \"x\") { id }";

/// A user who is connected, and the operation's id.
async fn connected(app: &TestApp) -> (Api, String) {
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap().to_owned();
    eventually("connected", async || {
        user.operation(&id).await["status"] == "DONE"
    })
    .await;
    (user, id)
}

#[rstest]
#[case(
    "{ me { connection { status claims } email } }",
    r#"{"me":{"connection":{"status":null,"claims":null},"email":"a@example.com"}}"#
)]
#[case(
    "{ me { connection { status } } }",
    r#"{"me":{"connection":{"status":null}}}"#
)]
#[case(
    "{ me { ...U } } fragment U on User { connection { c: claims s: status } email }",
    r#"{"me":{"connection":{"c":null,"s":null},"email":"a@example.com"}}"#
)]
#[tokio::test]
async fn what_intuned_does_not_tell_is_null(#[case] query: &str, #[case] expected: &str) {
    let app = TestApp::start(Backend::Sqlite).await;
    let (user, _) = connected(&app).await;
    app.intuned.script(Call::One, 10, &Fault::answer(500));
    app.intuned.script(Call::RunStart, 10, &Fault::answer(500));
    assert_eq!(user.data_text(query, json!({})).await, expected);
    app.finish().await;
}

#[tokio::test]
async fn what_must_not_be_null_takes_along_what_it_belongs_to() {
    let app = TestApp::start(Backend::Sqlite).await;
    let user = app.user("a@example.com").await;
    let query = "{ me { email auditTrail(first: 1000) { edges { cursor } } } }";
    assert_eq!(user.data_text(query, json!({})).await, r#"{"me":null}"#);
    let query = "mutation { __typename cancelOperation(operationId: \"x\") { operation { id } } }";
    assert_eq!(user.data_text(query, json!({})).await, "null");
    let nobody = format!("{{ __typename {WRONG} }}");
    let expected = r#"{"__typename":"Query","operation":null}"#;
    assert_eq!(app.api.data_text(&nobody, json!({})).await, expected);
    app.finish().await;
}

#[tokio::test]
async fn fields_come_in_the_documents_order() {
    let app = TestApp::start(Backend::Sqlite).await;
    let (user, id) = connected(&app).await;
    let query = "query($id: ID!) { operation(id: $id) { connection { createdAt __typename } kind status } \
         me { connection { status __typename } email } }";
    let text = user.data_text(query, json!({ "id": id })).await;
    let keys = [
        "operation",
        "connection",
        "createdAt",
        "__typename",
        "kind",
        "status",
        "me",
    ];
    let places: Vec<_> = keys
        .iter()
        .map(|key| text.find(&format!("\"{key}\"")))
        .collect();
    assert!(places.is_sorted() && places[0].is_some(), "{text}");
    assert!(text.ends_with(r#""me":{"connection":{"status":"READY","__typename":"Connection"},"email":"a@example.com"}}"#), "{text}");
    app.finish().await;
}

#[rstest]
#[case(
    "query($no: Boolean = false) { me { id @include(if: $no) } }",
    r#"{"me":{}}"#
)]
#[case(
    "query($no: Boolean = false) { me { connection { ... @include(if: $no) { id } } } }",
    r#"{"me":{"connection":{}}}"#
)]
#[case(
    "query($yes: Boolean = true) { me { connection { __typename id @skip(if: $yes) } } }",
    r#"{"me":{"connection":{"__typename":"Connection"}}}"#
)]
#[case(
    "query($n: Int) { me { auditTrail(first: $n) { pageInfo { hasNextPage } } } }",
    r#"{"me":{"auditTrail":{"pageInfo":{"hasNextPage":false}}}}"#
)]
#[case(
    "{ me { auditTrail(first: null) { pageInfo { hasNextPage } } } }",
    r#"{"me":{"auditTrail":{"pageInfo":{"hasNextPage":false}}}}"#
)]
#[tokio::test]
async fn what_is_left_out_leaves_the_rest(#[case] query: &str, #[case] expected: &str) {
    let app = TestApp::start(Backend::Sqlite).await;
    let (user, _) = connected(&app).await;
    assert_eq!(user.data_text(query, json!({})).await, expected);
    app.finish().await;
}

/// The default of a variable decides over HTTP and over a socket alike.
#[tokio::test]
async fn a_dry_run_disconnects_nothing() {
    const QUERY: &str = "mutation($dry: Boolean = true) { __typename disconnectOrangeHrm @skip(if: $dry) { disconnected } }";
    let app = TestApp::start(Backend::Sqlite).await;
    let (user, _) = connected(&app).await;
    let expected = r#"{"__typename":"Mutation"}"#;
    assert_eq!(user.data_text(QUERY, json!({})).await, expected);
    let answers = first_answer(&app, &user, QUERY, json!({})).await;
    assert_eq!(answers["payload"]["data"].to_string(), expected);
    let data = user
        .data("{ me { connection { status } } }", json!({}))
        .await;
    assert_eq!(data["me"]["connection"]["status"], "READY");
    app.finish().await;
}

async fn first_answer(app: &TestApp, user: &Api, query: &str, variables: Value) -> Value {
    let mut socket = app.socket(user).await;
    let payload = json!({ "query": query, "variables": variables });
    let message = json!({ "id": "1", "type": "subscribe", "payload": payload });
    assert!(socket.try_send(&message).await);
    socket.next().await.unwrap()
}

/// With events that are compiled, and with events that async-graphql resolves.
#[rstest]
#[case::compiled(
    "subscription($id: ID!) { operationStatus(operationId: $id) { operation { infoRequest { ... on OtpRequest { id } } } } }",
    json!({ "operation": { "infoRequest": {} } })
)]
#[case::resolved(
    "subscription($id: ID!, $yes: Boolean = true) { operationStatus(operationId: $id) { operation { ...O } } } \
     fragment O on Operation { infoRequest { ... on OtpRequest { id } } status @skip(if: $yes) }",
    json!({ "operation": { "infoRequest": {} } })
)]
#[case::with_null(
    "subscription($id: ID!) { operationStatus(operationId: $id) { operation { connection { status } } } }",
    json!({ "operation": { "connection": null } })
)]
#[case::nothing(
    "subscription($id: ID!) { operationStatus(operationId: $id) { operation { status @skip(if: true) } } }",
    json!({ "operation": {} })
)]
#[tokio::test]
async fn events_are_complete_both_ways(#[case] query: &str, #[case] expected: Value) {
    let app = TestApp::start(Backend::Sqlite).await;
    let user = app.user("a@example.com").await;
    let asked = app.asked(&user, "choice").await;
    let answer = first_answer(&app, &user, query, json!({ "id": asked.id })).await;
    assert_eq!(
        answer["payload"]["data"],
        json!({ "operationStatus": expected })
    );
    user.cancel(&asked.id).await;
    app.finish().await;
}

#[tokio::test]
async fn the_schema_may_be_withheld() {
    let setup = Setup {
        configure: |config| config.http.documents.introspection = false,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Sqlite, setup).await;
    for query in [
        "{ __schema { types { name } } }",
        "{ ...F } fragment F on Query { a: __type(name: \"User\") { name } }",
    ] {
        let answer = app.api.send(query, json!({})).await;
        assert!(answer.get("data").is_none(), "{answer}");
        let error = &answer["errors"][0];
        assert!(
            error["message"].as_str().unwrap().contains("INTROSPECTION"),
            "{error}"
        );
        assert_eq!(error["extensions"]["code"], "GRAPHQL_VALIDATION_FAILED");
    }
    assert_eq!(
        app.api.data_text("{ __typename }", json!({})).await,
        r#"{"__typename":"Query"}"#
    );
    app.finish().await;
}
