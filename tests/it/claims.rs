//! Claims are answered as Intuned sent them, whatever asks for them and however.

use intuned_gateway::app::AppConfig;
use intuned_simulator::{Call, Fault};
use reqwest::{Method, header::ACCEPT};
use rstest::rstest;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::support::{Api, Backend, Setup, TestApp, eventually};

const CLAIMS: &str = "{ me { connection { claims } } }";

/// What no tree of values would keep, and half a character.
const SENT: &str = r#"[{ "id": 12345678901234567890123, "rates":[1.10,1e2,-0.0,1E-7],
	"too large": 1e400, "twice":1, "twice":2, "text": "Taxi \ud83d \ud83d\ude00 \\ud83d <\/script>" }]"#;

fn passed_on() -> String {
    SENT.replace(r"Taxi \ud83d", r"Taxi \ufffd")
}

fn in_me(claims: &str) -> String {
    format!(r#"{{"me":{{"connection":{{"claims":{claims}}}}}}}"#)
}

/// A user who is connected, and the operation's id. Their claims are these.
async fn connected(app: &TestApp, claims: &str) -> (Api, String) {
    app.intuned.bring(claims).unwrap();
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap().to_owned();
    eventually("connected", async || {
        user.operation(&id).await["status"] == "DONE"
    })
    .await;
    (user, id)
}

async fn text(request: reqwest::RequestBuilder) -> String {
    request.send().await.unwrap().text().await.unwrap()
}

async fn post(user: &Api, body: &Value, accept: &str) -> String {
    let request = user.request(Method::POST).header(ACCEPT, accept);
    text(request.json(body)).await
}

/// A gateway that takes batches, and a user with the claims above and the operation that connected them.
async fn with_batches(backend: Backend) -> (TestApp, Api, String) {
    let setup = Setup {
        configure: |config| config.http.batch_limit = 2,
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let (user, operation) = connected(&app, SENT).await;
    (app, user, operation)
}

/// What follows the operation and reads claims, and the answer to its first event.
fn following(operation: &str) -> (Value, String) {
    let request = json!({
        "query": "subscription($id: ID!) { operationStatus(operationId: $id) { operation { connection { claims } } } }",
        "variables": { "id": operation },
    });
    let claims = passed_on();
    let event = format!(
        r#"{{"data":{{"operationStatus":{{"operation":{{"connection":{{"claims":{claims}}}}}}}}}}}"#
    );
    (request, event)
}

#[rstest]
#[tokio::test]
async fn claims_are_the_same_by_post_by_get_in_batches_and_persisted(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (app, user, _) = with_batches(backend).await;
    let data = in_me(&passed_on());
    let body = json!({ "query": CLAIMS });
    for accept in ["application/json", "application/graphql-response+json"] {
        assert_eq!(
            post(&user, &body, accept).await,
            format!(r#"{{"data":{data}}}"#)
        );
    }
    let by_get = user.request(Method::GET).query(&[("query", CLAIMS)]);
    assert_eq!(text(by_get).await, format!(r#"{{"data":{data}}}"#));
    let batch = post(&user, &json!([body, body]), "application/json").await;
    assert_eq!(batch, format!(r#"[{{"data":{data}}},{{"data":{data}}}]"#));

    let hash = hex::encode(Sha256::digest(CLAIMS));
    let extensions = json!({ "persistedQuery": { "version": 1, "sha256Hash": hash } });
    for body in [
        json!({ "query": CLAIMS, "extensions": extensions }),
        json!({ "extensions": extensions }),
    ] {
        let answer = post(&user, &body, "application/json").await;
        assert_eq!(answer, format!(r#"{{"data":{data}}}"#));
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn claims_are_the_same_on_streams_and_sockets(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let (app, user, operation) = with_batches(backend).await;
    let data = in_me(&passed_on());
    let body = json!({ "query": CLAIMS });
    // A line of an event stream has no breaks: those between values are blanks there.
    let one_line = data.replace('\n', " ");
    let events = post(&user, &body, "text/event-stream").await;
    let event = format!("event: next\ndata: {{\"data\":{one_line}}}\n\n");
    assert!(events.contains(&event), "{events}");

    let (followed, event) = following(&operation);
    let events = post(&user, &followed, "text/event-stream").await;
    assert!(events.contains(&event.replace('\n', " ")), "{events}");
    let parts = post(&user, &followed, "multipart/mixed;subscriptionSpec=\"1.0\"").await;
    assert!(
        parts.contains(&format!(r#"{{"payload":{event}}}"#)),
        "{parts}"
    );

    let mut socket = app.socket(&user).await;
    for (payload, answer) in [(body, format!(r#"{{"data":{data}}}"#)), (followed, event)] {
        let subscribe = json!({ "type": "subscribe", "id": "1", "payload": payload });
        assert!(socket.try_send(&subscribe).await);
        let next = socket.next_text().await.unwrap();
        assert_eq!(
            next,
            format!(r#"{{"type":"next","id":"1","payload":{answer}}}"#)
        );
        let complete = socket.next_text().await.unwrap();
        assert_eq!(complete, r#"{"type":"complete","id":"1"}"#);
    }
    app.finish().await;
}

#[rstest]
#[case::aliases(
    "{ me { connection { a: claims b: claims } } }",
    r#"{"me":{"connection":{"a":?,"b":?}}}"#
)]
#[case::merged(
    "{ me { connection { claims } } me { connection { claims } } }",
    r#"{"me":{"connection":{"claims":?}}}"#
)]
#[case::fragments(
    "{ me { ...U } again: me { ... on User { connection { ...C id2: __typename } } } } \
     fragment U on User { connection { ... { claims } } } fragment C on Connection { claims }",
    r#"{"me":{"connection":{"claims":?}},"again":{"connection":{"claims":?,"id2":"Connection"}}}"#
)]
#[case::conditions(
    "query($no: Boolean = false) { me { connection { \
     a: claims @include(if: $no) b: claims @skip(if: $no) c: claims @include(if: true) } } }",
    r#"{"me":{"connection":{"b":?,"c":?}}}"#
)]
#[case::of_an_operation(
    "query($id: ID!) { operation(id: $id) { connection { claims } } }",
    r#"{"operation":{"connection":{"claims":?}}}"#
)]
#[case::of_a_mutation(
    "mutation($id: ID!) { cancelOperation(operationId: $id) { operation { connection { claims } } } }",
    r#"{"cancelOperation":{"operation":{"connection":{"claims":?}}}}"#
)]
#[case::beside_an_error(
    "{ me { connection { claims status } } operation(id: \"x\") { id } }",
    r#"{"me":{"connection":{"claims":?,"status":null}},"operation":null}"#
)]
#[tokio::test]
async fn claims_are_the_same_wherever_they_are_selected(
    #[case] query: &str,
    #[case] expected: &str,
    #[values(false, true)] are_kept: bool,
) {
    let setup = Setup {
        configure: if are_kept { keep } else { |_| {} },
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Sqlite, setup).await;
    let (user, operation) = connected(&app, SENT).await;
    app.intuned.script(Call::One, 10, &Fault::answer(500));
    let variables = if query.contains("$id") {
        json!({ "id": operation })
    } else {
        json!({})
    };
    let expected = expected.replace('?', &passed_on());
    for _ in 0..2 {
        assert_eq!(user.data_text(query, variables.clone()).await, expected);
    }
    app.finish().await;
}

fn keep(config: &mut AppConfig) {
    config.connections.claims_cache = std::time::Duration::from_mins(1);
}

#[rstest]
#[case::lists("[", "]")]
#[case::objects(r#"{"a":"#, "}")]
#[tokio::test]
async fn claims_may_be_nested_deeply(#[case] open: &str, #[case] close: &str) {
    let app = TestApp::start(Backend::Sqlite).await;
    let deep = format!("{}1.10{}", open.repeat(100_000), close.repeat(100_000));
    let (user, _) = connected(&app, &deep).await;
    let answer = post(&user, &json!({ "query": CLAIMS }), "application/json").await;
    assert!(
        answer == format!(r#"{{"data":{}}}"#, in_me(&deep)),
        "they differ"
    );
    app.finish().await;
}

#[tokio::test]
async fn claims_that_are_too_large_are_refused_with_what_to_do() {
    let setup = Setup {
        configure: |config| config.intuned.result_limit = 1_000,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Sqlite, setup).await;
    let (user, _) = connected(&app, &format!("\"{}\"", "x".repeat(999))).await;
    let answer = user.send(CLAIMS, json!({})).await;
    assert_eq!(answer["data"]["me"]["connection"]["claims"], Value::Null);
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "RESULT_TOO_LARGE");
    assert_eq!(error["extensions"]["retryable"], false);
    let message = error["message"].as_str().unwrap();
    assert!(
        message.contains("1000 bytes") && message.contains("MAX_RESULT_BYTES"),
        "{message}"
    );
    assert_eq!(
        app.intuned.calls(Call::RunStart),
        1,
        "it is not tried again"
    );
    assert_eq!(app.intuned.calls(Call::RunResult), 3, "nor read again");
    app.finish().await;
}

/// What a sign-in asks, in answers that JavaScript may write and that a tree of values cannot hold.
#[rstest]
#[case::a_passcode(
    r#"{"requestType":"otp","messageToUser":"Code for \ud83d"}"#,
    "Code for \u{fffd}",
    json!(null)
)]
#[case::choices(
    r#"{"requestType":"multiple_choice","messageToUser":"How?","choices":["SMS \ud83d\ude00","Mail \ude00"]}"#,
    "How?",
    json!(["SMS \u{1F600}", "Mail \u{fffd}"])
)]
#[case::a_number_too_large(r#"{"x":[1e400],"requestType":"otp","messageToUser":"Code"}"#, "Code", json!(null))]
#[case::names_that_come_twice(
    r#"{"requestType":"other","requestType":"otp","messageToUser":1,"messageToUser":"Code"}"#,
    "Code",
    json!(null)
)]
#[tokio::test]
async fn a_question_is_asked_whatever_stands_around_it(
    #[case] details: &str,
    #[case] message: &str,
    #[case] choices: Value,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let deep = "[".repeat(5_000) + &"]".repeat(5_000);
    let body = format!(
        r#"{{"deep":{deep},"\ud83d":"\udc00\ud800","id":"q","details":{details},"status":"requested_more_inf\u006f"}}"#
    );
    let asks = Fault::answer(200).with_body(body);
    app.intuned.script(Call::CreateResult, 1_000, &asks);
    let operation = user.connect("slow", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("asked", async || {
        let asked = user.operation(id).await;
        let request = &asked["infoRequest"];
        asked["status"] == "REQUESTED_MORE_INFO"
            && request["message"] == message
            && *request.get("choices").unwrap_or(&Value::Null) == choices
    })
    .await;
    user.cancel(id).await;
    app.finish().await;
}

/// A poll that cannot be read is waited out, and those who follow are told.
#[tokio::test]
async fn an_answer_that_is_no_json_is_told_to_whoever_follows() {
    let app = TestApp::start(Backend::Sqlite).await;
    let user = app.user("a@example.com").await;
    let cut = Fault::answer(200).with_body(r#"{"status":"pend"#);
    app.intuned.script(Call::CreateResult, 2, &cut);
    let operation = user.connect("Admin", "admin123").await;
    let mut socket = app.socket(&user).await;
    socket
        .follow("1", operation["id"].as_str().unwrap(), Some(0))
        .await;
    let events = socket.events().await;
    let told = |event: &Value| {
        event["message"] == "Intuned's answer cannot be read just now; asking again."
    };
    assert!(events.iter().any(told), "{events:#?}");
    assert_eq!(events.last().unwrap()["status"], "DONE");
    app.finish().await;
}
