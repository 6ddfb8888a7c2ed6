//! What the operator's endpoint is told of connections.

use std::{collections::HashSet, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use entity::{
    Millis, session_removal, user,
    webhook_delivery::{self, Outcome},
};
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit, Mac};
use intuned_gateway::webhooks::{SigningKey, WebhooksConfig};
use intuned_simulator::{Call, Fault};
use rstest::rstest;
use sea_orm::{Database, DatabaseConnection, EntityTrait, PaginatorTrait, sea_query::Expr};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use sha2::Sha256;

use crate::support::{
    API_KEY, Api, Backend, Received, Receiver, Reply, Setup, TestApp, WEBHOOK_SECRET, eventually,
};

const STATUS: &str = "{ me { connection { id status } } }";
const DELETE: &str = r#"mutation { deleteAccount(password: "correct horse") { deleted } }"#;
const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";

async fn app(backend: Backend, webhooks: WebhooksConfig) -> TestApp {
    let setup = Setup {
        webhooks: Some(webhooks),
        ..Setup::default()
    };
    TestApp::with(backend, setup).await
}

async fn connect(user: &Api) {
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("connected", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
}

async fn database(app: &TestApp) -> DatabaseConnection {
    let url = app.config.database_url.expose_secret();
    Database::connect(url).await.unwrap()
}

async fn deliveries(database: &DatabaseConnection) -> Vec<webhook_delivery::Model> {
    webhook_delivery::Entity::find()
        .all(database)
        .await
        .unwrap()
}

/// Makes what was put off due at once.
async fn hurry(database: &DatabaseConnection) {
    webhook_delivery::Entity::update_many()
        .col_expr(webhook_delivery::Column::DueAt, Expr::value(0))
        .exec(database)
        .await
        .unwrap();
}

/// Waits until it is written down that the first delivery's try of this number failed: no pause is as
/// long as the lease of these tests.
async fn put_off(database: &DatabaseConnection, attempt: usize) {
    eventually("put off", async || {
        let one = deliveries(database).await.remove(0);
        let lasting = one.due_at.0 - one.occurred_at.0;
        usize::try_from(one.attempts) == Ok(attempt) && lasting < chrono::TimeDelta::hours(12)
    })
    .await;
}

fn kinds(received: &[Received]) -> Vec<String> {
    received.iter().map(Received::kind).collect()
}

/// As a receiver checks it, with another implementation of HMAC than the gateway's.
fn is_signed(received: &Received, secret: &str) -> bool {
    let (id, timestamp) = (
        received.header("webhook-id"),
        received.header("webhook-timestamp"),
    );
    let key = STANDARD.decode(secret.trim_start_matches("whsec_"));
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.unwrap()).unwrap();
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&received.body);
    let expected = format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()));
    let mut signatures = received.header("webhook-signature").split(' ');
    signatures.any(|signature| signature == expected)
}

#[rstest]
#[tokio::test]
async fn each_thing_that_happens_is_told_once(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    let app = app(backend, receiver.config()).await;
    let user = app.user("canary@example.com").await;
    connect(&user).await;
    let data = user.data(STATUS, json!({})).await;
    let connection = data["me"]["connection"]["id"].as_str().unwrap().to_owned();
    connect(&user).await;
    for _ in 0..2 {
        let session = app.intuned.sessions().remove(0).id;
        assert!(app.intuned.expire(&session));
        let readers = join_all((0..5).map(|_| user.data(STATUS, json!({})))).await;
        for data in readers {
            assert_eq!(data["me"]["connection"]["status"], "EXPIRED");
        }
        user.data(STATUS, json!({})).await;
        connect(&user).await;
        let data = user.data(STATUS, json!({})).await;
        assert_eq!(data["me"]["connection"]["status"], "READY");
    }
    for _ in 0..2 {
        user.data(DISCONNECT, json!({})).await;
    }
    let received = receiver.until(7).await;
    let told = [
        "created", "renewed", "expired", "renewed", "expired", "renewed", "removed",
    ];
    let told = told.map(|kind| format!("connection.{kind}"));
    assert_eq!(kinds(&received), told);

    let me = user.data("{ me { id } }", json!({})).await;
    let mut ids = HashSet::new();
    for request in &received {
        assert_eq!(request.path, "/hook");
        assert_eq!(request.header("content-type"), "application/json");
        assert!(is_signed(request, WEBHOOK_SECRET), "{request:?}");
        assert!(
            !is_signed(request, "whsec_YW5vdGhlciBzZWNyZXQ="),
            "{request:?}"
        );
        let body = request.json();
        assert_eq!(body["id"], request.header("webhook-id"));
        assert!(ids.insert(body["id"].to_string()), "{body}");
        assert_eq!(
            body["data"],
            json!({ "connectionId": connection, "userId": me["me"]["id"] })
        );
        assert!(body["occurredAt"].as_str().unwrap().ends_with('Z'));
        let sent = format!("{request:?}");
        for secret in ["canary", "Admin", "admin123", API_KEY, WEBHOOK_SECRET] {
            assert!(!sent.contains(secret), "{secret}: {sent}");
        }
    }
    let database = database(&app).await;
    eventually("all are settled", async || {
        let deliveries = deliveries(&database).await;
        let mut settled = deliveries.iter();
        deliveries.len() == 7
            && settled.all(|one| one.outcome == Some(Outcome::Delivered) && one.attempts == 1)
    })
    .await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_is_refused_is_sent_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    let elsewhere = Receiver::start().await;
    receiver.script([
        Reply::Status(500),
        Reply::Redirect(elsewhere.url.clone()),
        Reply::Redirect("/elsewhere".to_owned()),
        Reply::Status(429),
        Reply::Status(404),
    ]);
    let app = app(backend, receiver.config()).await;
    let database = database(&app).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    for count in 1..=5 {
        receiver.until(count).await;
        put_off(&database, count).await;
        hurry(&database).await;
    }
    let received = receiver.until(6).await;
    assert!(received.iter().all(|request| request.path == "/hook"));
    assert!(
        elsewhere.received().is_empty(),
        "redirects are not followed"
    );
    let bodies: HashSet<_> = received.iter().map(|request| &request.body).collect();
    assert_eq!(bodies.len(), 1, "the same each time");
    assert!(received.iter().all(|one| is_signed(one, WEBHOOK_SECRET)));
    eventually("delivered", async || {
        deliveries(&database).await[0].outcome == Some(Outcome::Delivered)
    })
    .await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_receiver_that_hangs_is_given_up_and_tried_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    receiver.script([Reply::Hang]);
    let mut config = receiver.config();
    config.timeout = Duration::from_millis(200);
    let app = app(backend, config).await;
    let database = database(&app).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    receiver.until(1).await;
    put_off(&database, 1).await;
    hurry(&database).await;
    receiver.until(2).await;
    app.finish().await;
}

/// A replica that dies after it has sent, and before it has written that down, leaves its lease.
#[rstest]
#[tokio::test]
async fn what_was_sent_and_not_written_down_is_sent_again(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    receiver.script([Reply::Hang]);
    let mut config = receiver.config();
    config.lease = Duration::from_millis(300);
    let mut app = app(backend, config).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    let received = receiver.until(2).await;
    assert_eq!(received[0].body, received[1].body);
    assert_eq!(
        received[0].header("webhook-id"),
        received[1].header("webhook-id")
    );
    // The same after a stop that cuts it off.
    receiver.script([Reply::Hang]);
    user.data(DISCONNECT, json!({})).await;
    receiver.until(3).await;
    app.restart().await;
    let received = receiver.until(4).await;
    assert_eq!(received[2].body, received[3].body);
    assert_eq!(received[3].kind(), "connection.removed");
    app.finish().await;
}

#[tokio::test]
async fn replicas_share_the_work() {
    let receiver = Receiver::start().await;
    let app = app(Backend::Postgres, receiver.config()).await;
    let second = app.replica().await;
    let third = app.replica().await;
    let users = join_all((0..20).map(async |n| {
        let user = app.user(&format!("{n}@example.com")).await;
        connect(&user).await;
        user
    }))
    .await;
    join_all(users.iter().map(async |user| {
        second.user(user).data(DISCONNECT, json!({})).await;
    }))
    .await;
    let database = database(&app).await;
    eventually("all are delivered", async || {
        let mut deliveries = deliveries(&database).await.into_iter();
        deliveries.all(|one| one.outcome == Some(Outcome::Delivered))
    })
    .await;
    let all = receiver.received();
    let ids: HashSet<_> = all.iter().map(|one| one.header("webhook-id")).collect();
    assert_eq!((all.len(), ids.len()), (40, 40));
    third.finish().await;
    second.finish().await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn events_of_one_connection_keep_their_order_and_do_not_wait_for_others(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    receiver.script([Reply::Status(500)]);
    let app = app(backend, receiver.config()).await;
    let database = database(&app).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    receiver.until(1).await;
    user.data(DISCONNECT, json!({})).await;
    let other = app.user("b@example.com").await;
    connect(&other).await;
    let received = receiver.until(2).await;
    assert_ne!(received[1].json()["data"], received[0].json()["data"]);
    put_off(&database, 1).await;
    hurry(&database).await;
    let received = receiver.until(4).await;
    assert_eq!(received[2].body, received[0].body);
    assert_eq!(received[3].kind(), "connection.removed");
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn after_days_a_delivery_is_dead_and_the_next_goes_on(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    receiver.script([Reply::Status(500), Reply::Status(500)]);
    let app = app(backend, receiver.config()).await;
    let database = database(&app).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    receiver.until(1).await;
    put_off(&database, 1).await;
    let before = deliveries(&database).await[0].occurred_at.0 - chrono::TimeDelta::days(3);
    webhook_delivery::Entity::update_many()
        .col_expr(
            webhook_delivery::Column::OccurredAt,
            Expr::value(Millis(before)),
        )
        .exec(&database)
        .await
        .unwrap();
    hurry(&database).await;
    eventually("dead", async || {
        deliveries(&database).await[0].outcome == Some(Outcome::Dead)
    })
    .await;
    user.data(DISCONNECT, json!({})).await;
    let received = receiver.until(3).await;
    assert_eq!(received[2].kind(), "connection.removed");
    app.finish().await;
}

#[rstest]
#[case("http://127.0.0.1:{port}/hook")]
#[case("http://localhost:{port}/hook")]
#[case("http://[::ffff:127.0.0.1]:{port}/hook")]
#[tokio::test]
async fn private_addresses_are_refused(#[case] address: &str) {
    let receiver = Receiver::start().await;
    let port = receiver.url.split(['/', ':']).nth(4).unwrap();
    let mut config = receiver.config();
    config.url = address.replace("{port}", port).parse().unwrap();
    config.allow_private = false;
    let app = app(Backend::Sqlite, config).await;
    let database = database(&app).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    put_off(&database, 1).await;
    assert!(receiver.received().is_empty());
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn old_and_new_secret_both_sign(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    let new = "whsec_YW5vdGhlciBzZWNyZXQgb2YgdGhpcnR5LXR3byBieXRlcyBvciBtb3Jl";
    let mut config = receiver.config();
    config.keys.push(SigningKey::read(new).unwrap());
    let app = app(backend, config).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    let received = receiver.until(1).await;
    assert!(is_signed(&received[0], WEBHOOK_SECRET) && is_signed(&received[0], new));
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn without_an_endpoint_nothing_is_kept(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    user.data(DISCONNECT, json!({})).await;
    assert!(deliveries(&database(&app).await).await.is_empty());
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn an_account_that_is_deleted_leaves_what_is_to_be_told(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    receiver.script([Reply::Status(503)]);
    let app = app(backend, receiver.config()).await;
    let database = database(&app).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    receiver.until(1).await;
    put_off(&database, 1).await;
    user::Entity::delete_many().exec(&database).await.unwrap();
    assert_eq!(user::Entity::find().count(&database).await.unwrap(), 0);
    hurry(&database).await;
    let received = receiver.until(2).await;
    assert_ne!(received[1].json()["data"]["userId"], Value::Null);
    app.finish().await;
}

/// Also when Intuned does not delete the session, or says nothing for longer than anybody waits, and
/// does it only when nobody here knows the user any more.
#[rstest]
#[case::at_once(None)]
#[case::refused(Some(Fault::answer(503).with_header("retry-after", "60")))]
#[case::silent(Some(Fault::hang()))]
#[tokio::test]
async fn deleting_an_account_tells_of_its_connection_once(
    #[case] fault: Option<Fault>,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let receiver = Receiver::start().await;
    let mut app = app(backend, receiver.config()).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    let created = receiver.until(1).await.remove(0).json();
    if let Some(fault) = &fault {
        app.intuned.script(Call::Delete, 1, fault);
    }
    let data = user.data(DELETE, json!({})).await;
    assert_eq!(data["deleteAccount"]["deleted"], true);
    let database = database(&app).await;
    assert_eq!(user::Entity::find().count(&database).await.unwrap(), 0);
    let removed = receiver.until(2).await.remove(1);
    assert_eq!(removed.kind(), "connection.removed");
    assert_eq!(removed.json()["data"], created["data"]);

    // Whoever asked Intuned has given up by the end of this.
    app.restart().await;
    assert_eq!(app.intuned.sessions().is_empty(), fault.is_none());
    session_removal::Entity::update_many()
        .col_expr(
            session_removal::Column::DueAt,
            Expr::value(Millis(chrono::DateTime::UNIX_EPOCH)),
        )
        .exec(&database)
        .await
        .unwrap();
    // The row stays until nothing under way at Intuned can bring the session back.
    eventually("removed at Intuned too", async || {
        let removals = session_removal::Entity::find().all(&database).await;
        let mut removals = removals.unwrap().into_iter();
        app.intuned.sessions().is_empty() && removals.all(|row| row.due_at == row.settles_at)
    })
    .await;
    assert_eq!(kinds(&receiver.received()).len(), 2);
    app.finish().await;
}
