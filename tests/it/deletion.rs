//! Deleting an account: what is here, and what Intuned has.

use std::time::Duration;

use entity::{connection, operation, operation_event, session, session_removal, user};
use intuned_simulator::{Call, Fault};
use rstest::rstest;
use sea_orm::{Database, DatabaseConnection, EntityTrait, PaginatorTrait};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::support::{
    Api, Backend, Setup, TestApp, eventually,
    identity_provider::{IdentityProvider, Key},
};

const DELETE: &str =
    "mutation($password: String) { deleteAccount(password: $password) { deleted } }";
const RIGHT: &str = "correct horse";
const ADA: &str = "ada@example.com";

async fn delete(user: &Api, password: impl Into<Value>) -> Value {
    let variables = json!({ "password": password.into() });
    user.send(DELETE, variables).await
}

async fn deleted(user: &Api, password: impl Into<Value>) {
    let answer = delete(user, password).await;
    assert_eq!(answer["data"]["deleteAccount"]["deleted"], true, "{answer}");
}

async fn connect(app: &TestApp, user: &Api) {
    let operation = user.connect("Admin", "admin123").await;
    let mut socket = app.socket(user).await;
    socket
        .follow("1", operation["id"].as_str().unwrap(), None)
        .await;
    socket.until("DONE").await;
}

async fn me(user: &Api) -> Value {
    user.data("{ me { id } }", json!({})).await["me"].clone()
}

async fn database(app: &TestApp) -> DatabaseConnection {
    Database::connect(app.database.url.expose_secret())
        .await
        .unwrap()
}

/// Rows of users and of all that is theirs, but for what is still to be removed at Intuned.
async fn rows(app: &TestApp) -> u64 {
    let database = database(app).await;
    let count = user::Entity::find().count(&database).await.unwrap()
        + session::Entity::find().count(&database).await.unwrap()
        + connection::Entity::find().count(&database).await.unwrap()
        + operation::Entity::find().count(&database).await.unwrap()
        + operation_event::Entity::find()
            .count(&database)
            .await
            .unwrap();
    database.close().await.unwrap();
    count
}

#[rstest]
#[tokio::test]
async fn everything_of_the_users_goes_and_nothing_of_others(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let bob = app.user("bob@example.com").await;
    connect(&app, &bob).await;
    let others = rows(&app).await;
    let ada = app.user(ADA).await;
    connect(&app, &ada).await;
    assert_eq!(app.intuned.sessions().len(), 2);

    let mut socket = app.socket(&ada).await;
    deleted(&ada, RIGHT).await;
    assert_eq!(socket.next().await.unwrap_err(), Some(4403));
    assert_eq!(me(&ada).await, Value::Null);
    assert_eq!(rows(&app).await, others);
    assert_eq!(app.intuned.sessions().len(), 1);
    assert!(me(&bob).await.is_object());
    // The address is free again.
    assert!(me(&app.user(ADA).await).await.is_object());
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_is_in_flight_is_cancelled_first(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let ada = app.user(ADA).await;
    let mut asked = app.asked(&ada, "passcode").await;
    deleted(&ada, RIGHT).await;
    // Followers are told of that and of nothing else that ends it, if they are not cut off before.
    while let Ok(message) = asked.socket.next().await {
        let status = &message["payload"]["data"]["operationStatus"]["status"];
        assert!(status != "DONE" && status != "FAILED", "{message}");
    }
    assert_eq!(rows(&app).await, 0);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn sessions_end_on_other_replicas_too(
    #[values(Duration::ZERO, Duration::from_millis(500))] delay: Duration,
) {
    let app = TestApp::start(Backend::Postgres).await;
    let replica = app.replica().await;
    let ada = app.user(ADA).await;
    connect(&app, &ada).await;
    app.intuned.script(Call::Delete, 1, &Fault::delay(delay));
    let mut socket = replica.socket(&ada).await;
    deleted(&ada, RIGHT).await;
    assert_eq!(me(&replica.user(&ada)).await, Value::Null);
    assert_eq!(socket.next().await.unwrap_err(), Some(4403));
    replica.finish().await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_intuned_cannot_delete_now_is_deleted_later_also_after_a_restart(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut app = TestApp::start(backend).await;
    let ada = app.user(ADA).await;
    connect(&app, &ada).await;
    let later = Fault::answer(503).with_header("retry-after", "60");
    app.intuned.script(Call::Delete, 1, &later);
    deleted(&ada, RIGHT).await;
    assert_eq!(rows(&app).await, 0);
    assert_eq!(app.intuned.sessions().len(), 1);
    app.stop().await;
    // For a minute it is left alone.
    let database = database(&app).await;
    let mut noted: Vec<session_removal::ActiveModel> = Vec::new();
    for row in session_removal::Entity::find()
        .all(&database)
        .await
        .unwrap()
    {
        noted.push(session_removal::ActiveModel {
            due_at: sea_orm::Set(row.requested_at),
            ..row.into()
        });
    }
    assert_eq!(noted.len(), 1);
    for row in noted {
        session_removal::Entity::update(row)
            .exec(&database)
            .await
            .unwrap();
    }
    database.close().await.unwrap();
    app.restart().await;
    eventually("removed", async || app.intuned.sessions().is_empty()).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn the_password_must_be_right_and_tries_count(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| config.accounts.tries.for_each_address = 3,
        ..Setup::default()
    };
    let app = TestApp::with(backend, setup).await;
    let ada = app.user(ADA).await;
    let code = async |password: Value| {
        let answer = delete(&ada, password).await;
        answer["errors"][0]["extensions"]["code"].clone()
    };
    assert_eq!(code(Value::Null).await, "INVALID_CREDENTIALS");
    for password in ["", "wrong password", "Correct horse"] {
        assert_eq!(code(json!(password)).await, "INVALID_CREDENTIALS");
    }
    assert_eq!(code(json!(RIGHT)).await, "RATE_LIMITED");
    assert!(me(&ada).await.is_object());
    let nobody = delete(&app.api, RIGHT).await;
    assert_eq!(nobody["errors"][0]["extensions"]["code"], "UNAUTHENTICATED");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn tokens_of_the_provider_from_before_make_nobody_anew(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let key = Key::ec("e");
    let provider = IdentityProvider::start(&[&key]).await;
    let mut app = TestApp::with(backend, Setup::default()).await;
    app.config.accounts.provider = Some(provider.config());
    app.restart().await;
    let mut claims = provider.claims("ada");
    let ada = app.api.signed_in(&key.sign(&claims));
    let before = me(&ada).await;
    let issued = claims["iat"].as_i64().unwrap();
    deleted(&ada, Value::Null).await;
    assert_eq!(rows(&app).await, 0);
    claims["iat"] = json!(issued + 5);
    let unseen = app.api.signed_in(&key.sign(&claims));
    claims.as_object_mut().unwrap().remove("iat");
    let undated = app.api.signed_in(&key.sign(&claims));
    for user in [&ada, &unseen, &undated] {
        assert_eq!(me(user).await, Value::Null);
    }
    assert_eq!(rows(&app).await, 0);
    // Whoever signs in there again is somebody new here.
    claims["iat"] = json!(issued + 30);
    let after = me(&app.api.signed_in(&key.sign(&claims))).await;
    assert!(after.is_object() && after != before, "{after}");
    app.finish().await;
}
