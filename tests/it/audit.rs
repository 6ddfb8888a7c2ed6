//! Users' audit trails: what stands in them, and who reads what of them.

use std::{collections::HashSet, time::Duration};

use entity::{Millis, audit_event, user};
use futures_util::future::join_all;
use rstest::rstest;
use sea_orm::{
    ActiveModelTrait, Database, DatabaseConnection, EntityTrait, IntoActiveModel, PaginatorTrait,
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{API_KEY, Api, Backend, Setup, TestApp, eventually};

const PAGE: &str =
    "query($first: Int, $after: String) { me { auditTrail(first: $first, after: $after) {
     edges { cursor node { id kind occurredAt clientAddress requestId operationId failureCode } }
     pageInfo { hasNextPage endCursor } } } }";
const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";

async fn page(user: &Api, first: i32, after: Option<&str>) -> Value {
    let variables = json!({ "first": first, "after": after });
    user.data(PAGE, variables).await["me"]["auditTrail"].clone()
}

/// The user's events of late, the newest first.
async fn events(user: &Api) -> Vec<Value> {
    let page = page(user, 100, None).await;
    assert_eq!(page["pageInfo"]["hasNextPage"], false);
    let edges = page["edges"].as_array().unwrap();
    edges.iter().map(|edge| edge["node"].clone()).collect()
}

/// What connecting and the like left in the trail, the oldest first.
async fn kinds(user: &Api) -> Vec<String> {
    let events = events(user).await;
    let kinds = events.iter().rev().map(|event| event["kind"].as_str());
    kinds.map(|kind| kind.unwrap().to_owned()).collect()
}

async fn ended(user: &Api, operation: &Value, status: &str) -> String {
    let id = operation["id"].as_str().unwrap().to_owned();
    eventually(status, async || {
        user.operation(&id).await["status"] == status
    })
    .await;
    id
}

async fn database(app: &TestApp) -> DatabaseConnection {
    let url = app.config.database_url.expose_secret();
    Database::connect(url).await.unwrap()
}

#[rstest]
#[tokio::test]
async fn what_is_done_with_a_connection_stands_in_the_trail(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("canary@example.com").await;
    let failed = user.connect("Admin", "canary-password").await;
    let failed = ended(&user, &failed, "FAILED").await;
    let asked = app.asked(&user, "passcode").await;
    user.resume(&asked.id, &asked.request, "123456").await;
    ended(&user, &json!({ "id": asked.id }), "DONE").await;
    let given_up = app.asked(&user, "passcode").await;
    user.cancel(&given_up.id).await;
    user.cancel(&given_up.id).await;
    let renewed = user.connect("Admin", "admin123").await;
    ended(&user, &renewed, "DONE").await;
    user.data("{ me { connection { claims } } }", json!({}))
        .await;
    eventually("the reading of claims is noted", async || {
        kinds(&user).await.last().unwrap() == "CLAIMS_READ"
    })
    .await;
    let session = app.intuned.sessions().remove(0).id;
    app.intuned.expire(&session);
    for _ in 0..3 {
        user.data("{ me { connection { status } } }", json!({}))
            .await;
    }
    for _ in 0..2 {
        user.data(DISCONNECT, json!({})).await;
    }

    let told = kinds(&user).await;
    let expected = [
        "CONNECT_STARTED",
        "CONNECT_FAILED",
        "CONNECT_STARTED",
        "INFO_REQUEST_ANSWERED",
        "CONNECTED",
        "CONNECT_STARTED",
        "OPERATION_CANCELED",
        "CONNECT_STARTED",
        "RECONNECTED",
        "CLAIMS_READ",
        "CONNECTION_EXPIRED",
        "DISCONNECT_REQUESTED",
        "DISCONNECTED",
    ];
    let own = told.len() - expected.len();
    assert_eq!(told[own..], expected, "{told:?}");

    let events = events(&user).await;
    for event in &events {
        let kind = event["kind"].as_str().unwrap();
        let by_the_gateway = [
            "CONNECTED",
            "RECONNECTED",
            "CONNECT_FAILED",
            "CONNECTION_EXPIRED",
            "DISCONNECTED",
        ];
        let asked_for = !by_the_gateway.contains(&kind);
        assert_eq!(event["clientAddress"] == "127.0.0.1", asked_for, "{event}");
        assert_eq!(event["requestId"].is_string(), asked_for, "{event}");
        assert_eq!(
            event["failureCode"].is_string(),
            kind == "CONNECT_FAILED",
            "{event}"
        );
    }
    let failure = events
        .iter()
        .find(|event| event["kind"] == "CONNECT_FAILED");
    let failure = failure.unwrap();
    assert_eq!(failure["operationId"], failed);
    assert_eq!(failure["failureCode"], "SIGN_IN_REJECTED");
    let text = json!(events).to_string();
    for secret in ["canary", "123456", "admin123", API_KEY] {
        assert!(!text.contains(secret), "{secret}: {text}");
    }
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn what_is_done_with_the_account_itself_stands_there_too(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let other = app.user("b@example.com").await;
    let sign_in = "mutation($i: SignInInput!) { signIn(input: $i) { token } }";
    let input = |password| json!({ "i": { "email": "a@example.com", "password": password } });
    for password in ["wrong", "wrong again"] {
        let code = app.api.error_code(sign_in, input(password)).await;
        assert_eq!(code, "INVALID_CREDENTIALS");
    }
    eventually("the wrong passwords are noted", async || {
        kinds(&user).await.len() == 3
    })
    .await;
    let data = app.api.data(sign_in, input("correct horse")).await;
    let again = app.api.signed_in(data["signIn"]["token"].as_str().unwrap());
    again
        .data("mutation { signOut { signedOut } }", json!({}))
        .await;
    let expected = [
        "ACCOUNT_OPENED",
        "SIGN_IN_FAILED",
        "SIGN_IN_FAILED",
        "SIGNED_IN",
        "SIGNED_OUT",
    ];
    assert_eq!(kinds(&user).await, expected);
    for event in events(&user).await {
        assert_eq!(event["clientAddress"], "127.0.0.1", "{event}");
        assert!(event["requestId"].is_string(), "{event}");
    }
    assert_eq!(kinds(&other).await, ["ACCOUNT_OPENED"]);
    app.finish().await;
}

/// Adds events of the user's that are as old as their numbers say, in minutes.
async fn add(database: &DatabaseConnection, user_id: &str, ages: impl Iterator<Item = i64>) {
    let now = chrono::DateTime::from_timestamp_millis(1_800_000_000_000).unwrap();
    let rows = ages.map(|age| {
        let occurred_at = now - chrono::TimeDelta::minutes(age);
        let millis = u64::try_from(occurred_at.timestamp_millis()).unwrap();
        let random = [u8::try_from(age % 251).unwrap(); 10];
        let row = audit_event::Model {
            id: uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid(),
            user_id: user_id.parse().unwrap(),
            kind: audit_event::Kind::ClaimsRead,
            occurred_at: Millis(occurred_at),
            client_address: None,
            request_id: None,
            operation_id: None,
            failure_code: None,
        };
        row.into_active_model().reset_all()
    });
    audit_event::Entity::insert_many(rows)
        .exec_without_returning(database)
        .await
        .unwrap();
}

async fn id_of(user: &Api) -> String {
    let data = user.data("{ me { id } }", json!({})).await;
    data["me"]["id"].as_str().unwrap().to_owned()
}

#[rstest]
#[tokio::test]
async fn pages_stay_as_they_are_while_events_are_added(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let database = database(&app).await;
    let user = app.user("a@example.com").await;
    let other = app.user("b@example.com").await;
    let (user_id, other_id) = (id_of(&user).await, id_of(&other).await);
    audit_event::Entity::delete_many()
        .exec(&database)
        .await
        .unwrap();
    add(&database, &user_id, 1000..1101).await;
    add(&database, &other_id, 2000..2001).await;

    let mut seen = Vec::new();
    let mut after: Option<String> = None;
    for round in 0.. {
        let page = page(&user, 25, after.as_deref()).await;
        let edges = page["edges"].as_array().unwrap();
        seen.extend(edges.iter().map(|edge| edge["node"].clone()));
        assert_eq!(
            page["pageInfo"]["endCursor"],
            edges.last().unwrap()["cursor"]
        );
        after = page["pageInfo"]["endCursor"].as_str().map(str::to_owned);
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        add(&database, &user_id, round * 10..round * 10 + 7).await;
    }
    assert_eq!(seen.len(), 101);
    let ids: HashSet<_> = seen.iter().map(|event| event["id"].to_string()).collect();
    assert_eq!(ids.len(), 101);
    let times: Vec<_> = seen
        .iter()
        .map(|event| event["occurredAt"].to_string())
        .collect();
    assert!(times.is_sorted_by(|newer, older| newer > older));

    let past_the_end = page(&user, 100, after.as_deref()).await;
    assert_eq!(past_the_end["edges"], json!([]));
    assert_eq!(
        past_the_end["pageInfo"],
        json!({ "hasNextPage": false, "endCursor": null })
    );
    let default = "{ me { auditTrail { edges { cursor } } } }";
    let default = user.data(default, json!({})).await;
    assert_eq!(
        default["me"]["auditTrail"]["edges"]
            .as_array()
            .unwrap()
            .len(),
        20
    );
    // A cursor is a place in time, and opens nobody else's trail.
    let theirs = page(&other, 100, None).await;
    let theirs = theirs["edges"].as_array().unwrap();
    assert_eq!(theirs.len(), 1);
    let borrowed = page(&user, 100, theirs[0]["cursor"].as_str()).await;
    assert_eq!(borrowed["edges"], json!([]));
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_page_that_is_none_is_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    let uuid = Uuid::from_u128(7).to_string();
    for (first, after) in [
        (0, None),
        (-1, None),
        (101, None),
        (i32::MAX, None),
        (5, Some("")),
        (5, Some("no cursor")),
        (5, Some("AAAA")),
        (5, Some(uuid.as_str())),
        (5, Some("' OR 1=1 --")),
    ] {
        let variables = json!({ "first": first, "after": after });
        let code = user.error_code(PAGE, variables).await;
        assert_eq!(code, "BAD_USER_INPUT", "{first} {after:?}");
    }
    let signed_out = app.api.data(PAGE, json!({})).await;
    assert_eq!(signed_out["me"], Value::Null);
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn old_events_are_deleted_and_an_account_takes_its_trail_along(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| config.audit_retention = Duration::from_hours(48),
        ..Setup::default()
    };
    let mut app = TestApp::with(backend, setup).await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    ended(&user, &operation, "DONE").await;
    let before = kinds(&user).await;
    let database = database(&app).await;
    // Many years before the test runs, and after it.
    let years = 20 * 365 * 24 * 60;
    add(&database, &id_of(&user).await, years..years + 1500).await;
    app.restart().await;
    let user = user.at(&app.api.url);
    eventually("the old ones are gone", async || {
        audit_event::Entity::find().count(&database).await.unwrap() == before.len() as u64
    })
    .await;
    assert_eq!(kinds(&user).await, before);
    user::Entity::delete_many().exec(&database).await.unwrap();
    assert_eq!(
        audit_event::Entity::find().count(&database).await.unwrap(),
        0
    );
    app.finish().await;
}

#[tokio::test]
async fn reading_a_status_that_is_no_news_writes_nothing() {
    let app = TestApp::start(Backend::Sqlite).await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    ended(&user, &operation, "DONE").await;
    let before = kinds(&user).await;
    let readers = (0..20).map(|_| user.data("{ me { connection { status } } }", json!({})));
    join_all(readers).await;
    assert_eq!(kinds(&user).await, before);
    app.finish().await;
}
