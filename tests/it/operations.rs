//! Connecting an account, from a client's request to Intuned's wire and back.

use chrono::{DateTime, Utc};
use entity::operation;
use intuned_simulator::{Call, Fault, SimulatedGeneration};
use rstest::rstest;
use sea_orm::{ColumnTrait, Database, EntityTrait, QueryFilter, sea_query::Expr};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Api, Backend, Setup, TestApp, eventually};

const CONNECTION: &str =
    "{ me { connection { id status claims createdAt connectedAt } activeOperation { id } } }";

async fn connection(user: &Api) -> Value {
    user.data(CONNECTION, json!({})).await["me"]["connection"].clone()
}

/// Connects as `Admin` and waits for the end.
async fn connect_admin(app: &TestApp, user: &Api) -> Value {
    let operation = user.connect("Admin", "admin123").await;
    let mut socket = app.socket(user).await;
    socket.follow("1", id(&operation), None).await;
    let events = socket.events().await;
    assert_eq!(events.last().unwrap()["status"], "DONE", "{events:#?}");
    operation
}

fn id(operation: &Value) -> &str {
    operation["id"].as_str().unwrap()
}

/// Every change once and in order, and progress that repeats the last one's number.
fn check_order(events: &[Value], after: i64) {
    let mut last = after;
    for event in events {
        let sequence = event["sequence"].as_i64().unwrap();
        match event["kind"].as_str().unwrap() {
            "CHANGE" => assert_eq!(sequence, last + 1, "{events:#?}"),
            "SNAPSHOT" => assert!(sequence >= last, "{events:#?}"),
            _ => assert_eq!(sequence, last, "{events:#?}"),
        }
        last = sequence;
    }
}

#[rstest]
#[tokio::test]
async fn connects_and_reads_claims(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(SimulatedGeneration::One, SimulatedGeneration::Two)] generation: SimulatedGeneration,
) {
    let setup = Setup {
        generation,
        delay_scale: 0.02,
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    assert_eq!(operation["status"], "STARTING");
    assert_eq!(operation["kind"], "CONNECT");
    assert_eq!(operation["sequence"], 1);
    assert!(operation["expiresAt"].is_string());

    let mut socket = app.socket(&user).await;
    socket.follow("1", id(&operation), None).await;
    let events = socket.events().await;
    assert_eq!(events[0]["kind"], "SNAPSHOT");
    assert!(
        events.iter().any(|event| event["kind"] == "PROGRESS"),
        "{events:#?}"
    );
    assert_eq!(events.last().unwrap()["status"], "DONE");
    check_order(&events, 0);
    let polls: Vec<_> = events
        .iter()
        .map(|event| event["polls"].as_i64().unwrap())
        .collect();
    assert!(polls.is_sorted() && *polls.last().unwrap() > 0, "{polls:?}");

    let connection = connection(&user).await;
    assert_eq!(connection["status"], "READY");
    assert!(!connection["claims"].as_array().unwrap().is_empty());
    let ended = user.operation(id(&operation)).await;
    assert_eq!(ended["connection"]["id"], connection["id"]);
    assert_eq!(ended["expiresAt"], Value::Null);
    assert_eq!(app.intuned.sessions().len(), 1);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_follower_that_comes_back_sees_every_change_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let operation = connect_admin(&app, &user).await;
    let mut socket = app.socket(&user).await;
    socket.follow("1", id(&operation), Some(0)).await;
    let all = socket.events().await;
    check_order(&all, 0);
    assert!(all.iter().all(|event| event["kind"] == "CHANGE"));
    assert!(all.len() >= 3, "{all:#?}");

    socket.follow("2", id(&operation), Some(2)).await;
    let rest = socket.events().await;
    let sequences = |events: &[Value]| -> Vec<i64> {
        events
            .iter()
            .map(|event| event["sequence"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(sequences(&rest), sequences(&all)[2..]);

    let last = *sequences(&all).last().unwrap();
    socket.follow("3", id(&operation), Some(last)).await;
    assert!(socket.events().await.is_empty());
    for wrong in [-1, last + 1] {
        socket.follow("4", id(&operation), Some(wrong)).await;
        let answer = socket.next().await.unwrap();
        let error = &answer["payload"][0];
        let error = if error.is_null() {
            &answer["payload"]["errors"][0]
        } else {
            error
        };
        assert_eq!(error["extensions"]["code"], "BAD_USER_INPUT", "{answer}");
        if answer["type"] == "next" {
            assert_eq!(socket.next().await.unwrap()["type"], "complete");
        }
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn asks_for_a_passcode_until_it_is_right(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let mut asked = app.asked(&user, "passcode").await;
    let (operation_id, socket) = (asked.id.as_str(), &mut asked.socket);
    let asked = user.operation(operation_id).await;
    let request = &asked["infoRequest"];
    assert_eq!(request["__typename"], "OtpRequest");
    assert!(!request["message"].as_str().unwrap().is_empty());
    let request_id = request["id"].as_str().unwrap();

    let empty = user.resume(operation_id, request_id, " ").await;
    assert_eq!(empty["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    let stale = user.resume(operation_id, "another", "123456").await;
    assert_eq!(
        stale["errors"][0]["extensions"]["code"],
        "INFO_REQUEST_STALE"
    );

    let wrong = user.resume(operation_id, request_id, "000000").await;
    assert_eq!(
        wrong["data"]["resumeConnection"]["operation"]["status"],
        "IN_PROGRESS"
    );
    let again = user.resume(operation_id, request_id, "123456").await;
    assert_eq!(
        again["errors"][0]["extensions"]["code"],
        "INFO_REQUEST_STALE"
    );

    let newer = socket.until_asked_anew(request_id).await;
    user.resume(operation_id, &newer, "123456").await;
    let events = socket.events().await;
    assert_eq!(events.last().unwrap()["status"], "DONE");
    assert_eq!(app.intuned.calls(Call::CreateResume), 2);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn asks_for_a_choice_then_a_passcode(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let mut asked = app.asked(&user, "choice").await;
    let (operation_id, socket) = (asked.id.as_str(), &mut asked.socket);
    let asked = user.operation(operation_id).await;
    let request = &asked["infoRequest"];
    assert_eq!(request["__typename"], "ChoiceRequest");
    let request_id = request["id"].as_str().unwrap();
    let choice = request["choices"][0].as_str().unwrap();

    let wrong = user
        .resume(operation_id, request_id, "Carrier pigeon")
        .await;
    assert_eq!(wrong["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    user.resume(operation_id, request_id, choice).await;
    let passcode = socket.until_asked_anew(request_id).await;
    user.resume(operation_id, &passcode, "123456").await;
    let events = socket.events().await;
    assert_eq!(events.last().unwrap()["status"], "DONE");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_refused_sign_in_is_an_end_not_an_error(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(SimulatedGeneration::One, SimulatedGeneration::Two)] generation: SimulatedGeneration,
) {
    let setup = Setup {
        generation,
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "wrong").await;
    let mut socket = app.socket(&user).await;
    socket.follow("1", id(&operation), None).await;
    let events = socket.events().await;
    assert_eq!(events.last().unwrap()["status"], "FAILED");
    let ended = user.operation(id(&operation)).await;
    assert_eq!(ended["failure"]["code"], "SIGN_IN_REJECTED");
    assert_eq!(ended["failure"]["retryable"], false);
    assert_eq!(connection(&user).await, Value::Null);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_flaky_intuned_is_waited_out(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("flaky", "admin123").await;
    let mut socket = app.socket(&user).await;
    socket.follow("1", id(&operation), None).await;
    let events = socket.events().await;
    assert_eq!(events.last().unwrap()["status"], "DONE");
    check_order(&events, 0);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn one_operation_at_a_time(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let answers = futures_util::future::join_all(
        (0..10).map(|_| user.connect_answer("passcode", "admin123")),
    )
    .await;
    let started: Vec<_> = answers
        .iter()
        .filter(|answer| answer.get("errors").is_none())
        .collect();
    assert_eq!(started.len(), 1, "{answers:#?}");
    let started = &started[0]["data"]["connectOrangeHrm"]["operation"]["id"];
    for refused in answers
        .iter()
        .filter(|answer| answer.get("errors").is_some())
    {
        let extensions = &refused["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "OPERATION_IN_PROGRESS");
        assert_eq!(&extensions["operationId"], started);
    }
    let me = user.data(CONNECTION, json!({})).await;
    assert_eq!(&me["me"]["activeOperation"]["id"], started);
    eventually("started once", async || {
        app.intuned.calls(Call::CreateStart) == 1
    })
    .await;

    let canceled = user.cancel(started.as_str().unwrap()).await;
    let operation = &canceled["data"]["cancelOperation"]["operation"];
    assert_eq!(operation["status"], "CANCELED");
    assert_eq!(operation["failure"]["code"], "CANCELED_BY_USER");
    let again = user.cancel(started.as_str().unwrap()).await;
    assert_eq!(&again["data"]["cancelOperation"]["operation"], operation);
    let me = user.data(CONNECTION, json!({})).await;
    assert_eq!(me["me"]["activeOperation"], Value::Null);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_repeat_with_the_same_key_is_the_same_operation(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let input = json!({ "username": "Admin", "password": "admin123", "idempotencyKey": "k1" });
    let answers =
        futures_util::future::join_all((0..5).map(|_| user.connect_with(input.clone()))).await;
    let ids: Vec<_> = answers
        .iter()
        .map(|answer| {
            answer["data"]["connectOrangeHrm"]["operation"]["id"]
                .as_str()
                .unwrap_or_else(|| panic!("{answer:#}"))
        })
        .collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    eventually("done", async || {
        user.operation(ids[0]).await["status"] == "DONE"
    })
    .await;
    let later = user.connect_with(input).await;
    assert_eq!(later["data"]["connectOrangeHrm"]["operation"]["id"], ids[0]);
    assert_eq!(app.intuned.calls(Call::CreateStart), 1);
    let bad = json!({ "username": "Admin", "password": "admin123", "idempotencyKey": "" });
    let refused = user.connect_with(bad).await;
    assert_eq!(refused["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn connecting_again_renews_the_same_session(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    connect_admin(&app, &user).await;
    let first = connection(&user).await;
    let session = app.intuned.sessions()[0].id.clone();
    assert!(app.intuned.expire(&session));
    let expired = user.send(CONNECTION, json!({})).await;
    assert_eq!(expired["data"]["me"]["connection"]["status"], "EXPIRED");
    let claims = expired["data"]["me"]["connection"].get("claims");
    assert_eq!(claims, Some(&Value::Null), "{expired:#}");
    assert_eq!(
        expired["errors"][0]["extensions"]["code"],
        "CONNECTION_EXPIRED"
    );

    let operation = connect_admin(&app, &user).await;
    assert_eq!(operation["kind"], "RECONNECT");
    let second = connection(&user).await;
    assert_eq!(second["status"], "READY");
    assert_eq!(second["id"], first["id"]);
    assert_eq!(second["createdAt"], first["createdAt"]);
    assert_ne!(second["connectedAt"], first["connectedAt"]);
    assert_eq!(app.intuned.sessions().len(), 1);
    assert_eq!(app.intuned.sessions()[0].id, session);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn disconnecting_deletes_both_sides_and_is_safe_to_repeat(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let none = user.data(DISCONNECT, json!({})).await;
    assert_eq!(none["disconnectOrangeHrm"]["disconnected"], false);

    connect_admin(&app, &user).await;
    app.intuned.script(Call::Delete, 1, &Fault::answer(503));
    assert_eq!(
        user.error_code(DISCONNECT, json!({})).await,
        "UPSTREAM_ERROR"
    );
    assert!(connection(&user).await.is_object());
    let done = user.data(DISCONNECT, json!({})).await;
    assert_eq!(done["disconnectOrangeHrm"]["disconnected"], true);
    assert!(app.intuned.sessions().is_empty());
    assert_eq!(connection(&user).await, Value::Null);

    let operation = connect_admin(&app, &user).await;
    assert_eq!(operation["kind"], "CONNECT");
    let operation = user.connect("passcode", "admin123").await;
    assert_eq!(operation["kind"], "RECONNECT");
    let done = user.data(DISCONNECT, json!({})).await;
    assert_eq!(done["disconnectOrangeHrm"]["disconnected"], true);
    let canceled = user.operation(id(&operation)).await;
    assert_eq!(canceled["status"], "CANCELED");
    assert_eq!(connection(&user).await, Value::Null);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn another_users_operation_is_like_none(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let owner = app.user("a@example.com").await;
    let operation = owner.connect("passcode", "admin123").await;
    let other = app.user("b@example.com").await;
    let random = "01890a5d-ac96-774b-bcce-b302099a8057";
    for operation_id in [id(&operation), random, "nonsense"] {
        let read = other
            .send(
                "query($id: ID!) { operation(id: $id) { id } }",
                json!({ "id": operation_id }),
            )
            .await;
        assert_eq!(read, json!({ "data": { "operation": null } }));
        let canceled = other.cancel(operation_id).await;
        let resumed = other.resume(operation_id, "request", "123456").await;
        for answer in [canceled, resumed] {
            assert_eq!(
                answer["errors"][0]["extensions"]["code"], "NOT_FOUND",
                "{answer}"
            );
        }
        let mut socket = app.socket(&other).await;
        socket.follow("1", operation_id, None).await;
        let answer = socket.next().await.unwrap().to_string();
        assert!(answer.contains("NOT_FOUND"), "{answer}");
    }
    owner.cancel(id(&operation)).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn fifty_followers_cost_no_more_polls_than_none(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = || Setup {
        delay_scale: 0.2,
        ..Setup::default()
    };
    let polls = async |followers: usize| {
        let app = TestApp::with(backend, setup()).await;
        let user = app.user("a@example.com").await;
        let operation = user.connect("Admin", "admin123").await;
        let mut sockets = Vec::new();
        for _ in 0..followers {
            let mut socket = app.socket(&user).await;
            socket.follow("1", id(&operation), Some(0)).await;
            sockets.push(socket);
        }
        eventually("done", async || {
            user.operation(id(&operation)).await["status"] == "DONE"
        })
        .await;
        for mut socket in sockets {
            let events = socket.events().await;
            check_order(&events, 0);
            assert_eq!(events.last().unwrap()["status"], "DONE");
        }
        let ended = user.operation(id(&operation)).await;
        let at = |name: &str| ended[name].as_str().unwrap().parse::<DateTime<Utc>>();
        let took = at("updatedAt").unwrap() - at("createdAt").unwrap();
        let calls = app.intuned.calls(Call::CreateResult);
        app.finish().await;
        (
            f64::from(u32::try_from(calls).unwrap()),
            took.as_seconds_f64(),
        )
    };
    let (none, alone) = Box::pin(polls(0)).await;
    let (fifty, followed) = Box::pin(polls(50)).await;
    // As many in the same time, but for jitter: a busy machine may take up to twice as long over one of them.
    assert!(
        fifty <= none * (followed / alone).clamp(1.0, 2.0) * 1.25 + 2.0,
        "{none} polls in {alone} s without, {fifty} in {followed} s with followers"
    );
}

#[rstest]
#[tokio::test]
async fn an_operation_goes_on_after_a_restart(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let asked = app.asked(&user, "passcode").await;
    app.restart().await;

    let user = user.at(&app.api.url);
    let mut socket = app.socket(&user).await;
    socket.follow("1", &asked.id, Some(asked.sequence)).await;
    let answer = user.resume(&asked.id, &asked.request, "123456").await;
    assert!(answer.get("errors").is_none(), "{answer}");
    let events = socket.events().await;
    check_order(&events, asked.sequence);
    assert_eq!(events.last().unwrap()["status"], "DONE");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn connecting_against_canceling_is_never_a_defect(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let rounds = async || {
        for _ in 0..15 {
            let answer = user.connect_answer("passcode", "admin123").await;
            let begun = &answer["data"]["connectOrangeHrm"]["operation"]["id"];
            let extensions = &answer["errors"][0]["extensions"];
            let id = begun.as_str().unwrap_or_else(|| {
                assert_eq!(extensions["code"], "OPERATION_IN_PROGRESS", "{answer:#}");
                extensions["operationId"].as_str().unwrap()
            });
            user.cancel(id).await;
        }
    };
    futures_util::future::join_all((0..6).map(|_| rounds())).await;
    app.finish().await;
}

#[tokio::test]
async fn a_second_gateway_on_one_file_is_refused() {
    let app = TestApp::start(Backend::Sqlite).await;
    let error = app.start_another().await.unwrap_err();
    assert!(
        error.to_string().contains("another gateway uses"),
        "{error}"
    );
    app.finish().await;
}

/// What is asked for together is read together.
#[rstest]
#[tokio::test]
async fn an_operation_that_makes_no_sense_is_an_error_by_itself(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let broken = connect_admin(&app, &user).await;
    let whole = connect_admin(&app, &user).await;
    let url = app.config.database_url.expose_secret();
    let database = Database::connect(url).await.unwrap();
    let column = operation::Column::Status;
    operation::Entity::update_many()
        .col_expr(column, Expr::value("PAUSED"))
        .filter(operation::Column::Id.eq(id(&broken).parse::<Uuid>().unwrap()))
        .exec(&database)
        .await
        .unwrap();

    let query = "query($broken: ID!, $whole: ID!) \
                 { broken: operation(id: $broken) { status } whole: operation(id: $whole) { status } }";
    let variables = json!({ "broken": id(&broken), "whole": id(&whole) });
    let answer = user.send(query, variables).await;
    assert_eq!(answer["data"]["whole"]["status"], "DONE", "{answer:#}");
    assert_eq!(answer["data"]["broken"], Value::Null);
    assert_eq!(answer["errors"][0]["path"], json!(["broken"]));
    assert_eq!(answer["errors"].as_array().unwrap().len(), 1);
    app.finish().await;
}
