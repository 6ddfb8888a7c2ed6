//! Whether an attempt makes an auth session or renews one, decided while others write.

use entity::{Millis, connection, operation, session_removal};
use intuned_gateway::platform::database::{self, Database};
use intuned_simulator::{Call, Fault};
use rstest::rstest;
use sea_orm::{
    ActiveValue::Set, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel, sea_query::Expr,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Api, Backend, TestApp, eventually, waiting};

const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";

async fn connected(app: &TestApp) -> Api {
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("connected", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
    user
}

async fn open(app: &TestApp) -> Database {
    database::connect(&app.config.database_url, 2)
        .await
        .unwrap()
}

async fn note_removal(database: &impl ConnectionTrait) {
    let connection = connection::Entity::find().one(database).await.unwrap();
    let connection = connection.unwrap();
    let at = Millis(chrono::DateTime::UNIX_EPOCH);
    let removal = session_removal::ActiveModel {
        auth_session_id: Set(connection.auth_session_id),
        user_id: Set(connection.user_id),
        requested_at: Set(at),
        settles_at: Set(at),
        due_at: Set(Millis(chrono::DateTime::<chrono::Utc>::MAX_UTC)),
        attempts: Set(0),
    };
    session_removal::Entity::insert(removal)
        .exec_without_returning(database)
        .await
        .unwrap();
}

#[tokio::test]
async fn an_attempt_that_waits_for_a_disconnection_renews_nothing() {
    let app = TestApp::start(Backend::Postgres).await;
    let user = connected(&app).await;
    // On one replica it would have to wait for its turn.
    let replica = app.replica().await;
    let there = replica.user(&user);
    let database = open(&app).await;
    // The disconnection has the connection's lock and waits to note the removal.
    let holding = database::begin(&database).await.unwrap();
    note_removal(&holding).await;
    let disconnecting = user.data(DISCONNECT, json!({}));
    let connecting = async {
        let [first] = waiting(&database, &[]).await;
        let connecting = there.connect("Admin", "admin123");
        let go_on = async {
            let [_second] = waiting(&database, &[first]).await;
            holding.rollback().await.unwrap();
        };
        tokio::join!(connecting, go_on).0
    };
    let (disconnected, operation) = tokio::join!(disconnecting, connecting);
    assert_eq!(disconnected["disconnectOrangeHrm"]["disconnected"], true);
    assert_eq!(operation["kind"], "CONNECT", "{operation:#}");
    replica.finish().await;
    app.finish().await;
}

#[tokio::test]
async fn an_attempt_that_meets_the_end_of_the_first_makes_no_second_session() {
    let app = TestApp::start(Backend::Postgres).await;
    let user = app.user("a@example.com").await;
    app.asked(&user, "passcode").await;
    let database = open(&app).await;
    // An end that is written and not committed yet.
    let ending = database::begin(&database).await.unwrap();
    let first = operation::Entity::find().one(&ending).await.unwrap();
    let first = first.unwrap();
    let now = first.updated_at;
    let connection = connection::ActiveModel {
        id: Set(Uuid::from_u128(1)),
        user_id: Set(first.user_id),
        service: Set(first.service),
        auth_session_id: Set(first.auth_session_id.clone()),
        created_at: Set(now),
        connected_at: Set(now),
        ..Default::default()
    };
    connection::Entity::insert(connection)
        .exec_without_returning(&ending)
        .await
        .unwrap();
    let sequence = first.sequence + 1;
    let session = first.auth_session_id.clone();
    let ended = operation::ActiveModel {
        status: Set(operation::Status::Done),
        sequence: Set(sequence),
        connection_id: Set(Some(Uuid::from_u128(1))),
        owner: Set(None),
        ended_at: Set(Some(now)),
        ..first.into_active_model()
    };
    operation::Entity::update(ended)
        .exec(&ending)
        .await
        .unwrap();

    // Nothing is begun that does not know of the connection.
    let code =
        user.connect_answer("Admin", "admin123").await["errors"][0]["extensions"]["code"].take();
    assert_eq!(code, "OPERATION_IN_PROGRESS");
    ending.commit().await.unwrap();
    let operation = user.connect("Admin", "admin123").await;
    assert_eq!(operation["kind"], "RECONNECT", "{operation:#}");
    let id: Uuid = operation["id"].as_str().unwrap().parse().unwrap();
    let row = operation::Entity::find_by_id(id).one(&database).await;
    assert_eq!(row.unwrap().unwrap().auth_session_id, session);
    app.finish().await;
}

/// As a replica of the release before writes it, while the replicas are upgraded one by one.
#[rstest]
#[tokio::test]
async fn a_session_whose_removal_was_only_noted_is_not_renewed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app).await;
    note_removal(&open(&app).await).await;
    let operation = user.connect("Admin", "admin123").await;
    assert_eq!(operation["kind"], "CONNECT", "{operation:#}");
    app.finish().await;
}

/// The mark is of the session that went.
#[rstest]
#[tokio::test]
async fn a_connection_made_while_its_predecessor_went_is_renewed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = connected(&app).await;
    app.intuned.script(Call::Delete, 1, &Fault::answer(503));
    let code = user.error_code(DISCONNECT, json!({})).await;
    assert_eq!(code, "UPSTREAM_ERROR");
    let connect = async || {
        let operation: Value = user.connect("Admin", "admin123").await;
        let id = operation["id"].as_str().unwrap();
        eventually("done", async || {
            user.operation(id).await["status"] == "DONE"
        })
        .await;
        operation["kind"].as_str().unwrap().to_owned()
    };
    assert_eq!(connect().await, "CONNECT");
    assert_eq!(connect().await, "RECONNECT");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_key_from_before_the_window_begins_anew(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let connect = async || {
        let input = json!({ "username": "Admin", "password": "admin123", "idempotencyKey": "key" });
        let operation =
            user.connect_with(input).await["data"]["connectOrangeHrm"]["operation"].take();
        let id = operation["id"].as_str().unwrap();
        eventually("done", async || {
            user.operation(id).await["status"] == "DONE"
        })
        .await;
        operation
    };
    let first = connect().await;
    assert_eq!(connect().await["id"], first["id"]);
    let two_days = 2 * 24 * 60 * 60 * 1000;
    let created_at = operation::Column::CreatedAt;
    operation::Entity::update_many()
        .col_expr(created_at, Expr::col(created_at).sub(two_days))
        .exec(&open(&app).await)
        .await
        .unwrap();
    let second = connect().await;
    assert_ne!(second["id"], first["id"]);
    assert_eq!(second["kind"], "RECONNECT");
    app.finish().await;
}
