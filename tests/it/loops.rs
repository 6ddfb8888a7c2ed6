//! Users who ask for the same again and again: what it costs Intuned, the others, and the audit trail.

use futures_util::future::join_all;
use intuned_simulator::{Call, Fault, PASSCODE};
use rstest::rstest;
use serde_json::{Value, json};

use crate::support::{Api, Asked, Backend, TestApp, eventually};

const STATUS: &str = "{ me { connection { status } } }";
const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";
const TRAIL: &str = "{ me { auditTrail(first: 100) { edges { node { kind } } } } }";

async fn connected(app: &TestApp, email: &str) -> Api {
    let user = app.user(email).await;
    let operation = user.connect("Admin", "admin123").await;
    is_done(&user, operation["id"].as_str().unwrap()).await;
    user
}

async fn is_done(user: &Api, id: &str) {
    eventually("done", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
}

/// How often this stands in the user's trail.
async fn recorded(user: &Api, kind: &str) -> usize {
    let data = user.data(TRAIL, json!({})).await;
    let edges = data["me"]["auditTrail"]["edges"].as_array().unwrap();
    let edges = edges.iter().filter(|edge| edge["node"]["kind"] == kind);
    edges.count()
}

fn code(answer: &Value) -> &str {
    let code = &answer["errors"][0]["extensions"]["code"];
    code.as_str().unwrap_or_else(|| panic!("{answer:#}"))
}

fn asked_to_wait(answer: &Value) -> u64 {
    assert_eq!(code(answer), "RATE_LIMITED", "{answer:#}");
    let seconds = &answer["errors"][0]["extensions"]["retryAfterSeconds"];
    seconds.as_u64().unwrap()
}

async fn answer(user: &Api, asked: &Asked) -> Value {
    user.resume(&asked.id, &asked.request, PASSCODE).await
}

#[rstest]
#[case::bad_request(400)]
#[case::wrong_key(401)]
#[case::forbidden(403)]
#[case::unprocessable(422)]
#[tokio::test]
async fn an_answer_that_intuned_refuses_is_sent_so_often_and_not_recorded(
    #[case] status: u16,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let (user, other) = (
        app.user("a@example.com").await,
        app.user("b@example.com").await,
    );
    let asked = app.asked(&user, "passcode").await;
    let refused = Fault::answer(status);
    app.intuned.script(Call::CreateResume, 10, &refused);
    for _ in 0..10 {
        let refused = answer(&user, &asked).await;
        assert_eq!(code(&refused), "UPSTREAM_ERROR", "{refused:#}");
        let operation = user.operation(&asked.id).await;
        assert_eq!(operation["status"], "REQUESTED_MORE_INFO");
    }
    let before = user.operation(&asked.id).await;
    for _ in 0..10 {
        let seconds = asked_to_wait(&answer(&user, &asked).await);
        assert!((1..=90).contains(&seconds), "{seconds}");
    }
    assert_eq!(app.intuned.calls(Call::CreateResume), 10);
    // Nothing was written for those.
    assert_eq!(
        user.operation(&asked.id).await["sequence"],
        before["sequence"]
    );
    assert_eq!(recorded(&user, "INFO_REQUEST_ANSWERED").await, 0);
    user.cancel(&asked.id).await;
    // It is the user's own budget, of which no answer takes anything that Intuned takes.
    for _ in 0..11 {
        let asked = app.asked(&other, "passcode").await;
        let taken = answer(&other, &asked).await;
        assert!(taken.get("errors").is_none(), "{taken:#}");
        is_done(&other, &asked.id).await;
    }
    assert_eq!(recorded(&other, "INFO_REQUEST_ANSWERED").await, 11);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_429_to_an_answer_pauses_the_answers_to_that_sign_in_alone(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let reader = connected(&app, "reader@example.com").await;
    let (user, other) = (
        app.user("a@example.com").await,
        app.user("b@example.com").await,
    );
    let asked = app.asked(&user, "passcode").await;
    let others = app.asked(&other, "passcode").await;
    let busy = Fault::answer(429).with_header("retry-after", "60");
    app.intuned.script(Call::CreateResume, 1, &busy);
    assert_eq!(asked_to_wait(&answer(&user, &asked).await), 60);
    let before = user.operation(&asked.id).await;
    assert_eq!(before["status"], "REQUESTED_MORE_INFO");
    for _ in 0..20 {
        let seconds = asked_to_wait(&answer(&user, &asked).await);
        assert!((1..=60).contains(&seconds), "{seconds}");
    }
    assert_eq!(app.intuned.calls(Call::CreateResume), 1);
    assert_eq!(recorded(&user, "INFO_REQUEST_ANSWERED").await, 0);

    // Starts, polls, answers of others and reads go on.
    let polls = app.intuned.calls(Call::CreateResult);
    eventually("polled", async || {
        app.intuned.calls(Call::CreateResult) > polls + 1
    })
    .await;
    assert!(answer(&other, &others).await.get("errors").is_none());
    is_done(&other, &others.id).await;
    let status = reader.data(STATUS, json!({})).await;
    assert_eq!(status["me"]["connection"]["status"], "READY");
    connected(&app, "c@example.com").await;
    let after = user.operation(&asked.id).await;
    assert_eq!(after["sequence"], before["sequence"], "{after:#}");
    user.cancel(&asked.id).await;
    app.finish().await;
}

/// Whoever asks again is told of the tries that are made anyway.
#[rstest]
#[tokio::test]
async fn a_removal_that_fails_is_tried_and_recorded_no_more_often_for_being_asked_for_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app, "a@example.com").await;
    let mut users = vec![user.clone()];
    let replica = match backend {
        Backend::Sqlite => None,
        Backend::Postgres => Some(app.replica().await),
    };
    users.extend(replica.as_ref().map(|replica| replica.user(&user)));
    app.intuned.script(Call::Delete, 999, &Fault::answer(500));
    for _ in 0..3 {
        let crowd = (0..20).flat_map(|_| users.iter());
        let crowd = crowd.map(|user| user.send(DISCONNECT, json!({})));
        for answer in join_all(crowd).await {
            assert_eq!(code(&answer), "UPSTREAM_ERROR", "{answer:#}");
        }
    }
    let tries = app.intuned.calls(Call::Delete);
    assert!((1..=8).contains(&tries), "{tries}");
    assert_eq!(recorded(&user, "DISCONNECT_REQUESTED").await, 1);
    let deleted = user
        .data(
            "mutation { deleteAccount(password: \"correct horse\") { deleted } }",
            json!({}),
        )
        .await;
    assert_eq!(deleted["deleteAccount"]["deleted"], true);
    assert!(app.intuned.calls(Call::Delete) <= tries + 3);
    if let Some(replica) = replica {
        replica.finish().await;
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn all_who_wait_for_a_removal_are_told_when_it_is_done(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app, "a@example.com").await;
    app.intuned.script(Call::Delete, 1, &Fault::answer(500));
    let refused = user.send(DISCONNECT, json!({})).await;
    assert_eq!(code(&refused), "UPSTREAM_ERROR");
    let waiting = (0..10).map(|_| user.send(DISCONNECT, json!({})));
    for answer in join_all(waiting).await {
        let disconnected = &answer["data"]["disconnectOrangeHrm"]["disconnected"];
        assert!(disconnected.is_boolean(), "{answer:#}");
    }
    assert_eq!(app.intuned.calls(Call::Delete), 2);
    assert_eq!(recorded(&user, "DISCONNECT_REQUESTED").await, 1);
    assert_eq!(recorded(&user, "DISCONNECTED").await, 1);
    app.finish().await;
}
