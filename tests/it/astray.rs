//! Answers of Intuned's that are about something else than what it was asked for: they count for nothing.

use entity::{connection, operation};
use intuned_gateway::platform::database::{self, Database};
use intuned_simulator::{Call, Fault};
use rstest::rstest;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, IntoActiveModel, QueryFilter,
    sea_query::Expr,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Api, Backend, Log, TestApp, eventually};

const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";
const CLAIMS: &str = "{ me { connection { status claims } } }";

async fn ended(user: &Api, operation: &Value) -> Value {
    let id = operation["id"].as_str().unwrap();
    let has_ended = async || {
        let status = user.operation(id).await["status"].take();
        ["DONE", "FAILED", "CANCELED"].contains(&status.as_str().unwrap())
    };
    eventually("ended", has_ended).await;
    user.operation(id).await
}

async fn connect(user: &Api) -> Value {
    let operation = user.connect("Admin", "admin123").await;
    ended(user, &operation).await
}

async fn open(app: &TestApp) -> Database {
    let url = &app.config.database_url;
    database::connect(url, 1).await.unwrap()
}

/// The auth sessions of all connections, those of the oldest first.
async fn sessions(database: &Database) -> Vec<String> {
    let mut rows = connection::Entity::find().all(database).await.unwrap();
    rows.sort_by_key(|row| row.id);
    rows.into_iter().map(|row| row.auth_session_id).collect()
}

fn done(session: &str) -> Fault {
    let done = json!({ "status": "done", "authSessionId": session });
    Fault::answer(200).with_body(done.to_string())
}

fn knows(app: &TestApp, session: &str) -> bool {
    let sessions = app.intuned.sessions();
    sessions.iter().any(|known| known.id == session)
}

#[rstest]
#[tokio::test]
async fn a_session_that_was_not_asked_for_is_neither_read_nor_deleted(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(1, 4, 999)] times: usize,
) {
    let log = Log::new();
    let _guard = tracing::subscriber::set_default(
        tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(log.clone())
            .finish(),
    );
    let app = TestApp::start(backend).await;
    let (user, other) = (
        app.user("a@example.com").await,
        app.user("b@example.com").await,
    );
    assert_eq!(connect(&user).await["status"], "DONE");
    let database = open(&app).await;
    let theirs = sessions(&database).await.remove(0);

    app.intuned
        .script(Call::CreateResult, times, &done(&theirs));
    let ended = connect(&other).await;
    assert_eq!(ended["status"], "DONE", "its own session stands: {ended:#}");
    let own = sessions(&database).await.remove(1);
    assert_ne!(own, theirs);
    let told = log.text();
    let told = told
        .lines()
        .filter(|line| line.contains("ERROR") && line.contains("not asked for"));
    assert_eq!(told.count(), 1);

    other.data(DISCONNECT, json!({})).await;
    assert!(knows(&app, &theirs) && !knows(&app, &own));
    user.data(CLAIMS, json!({})).await;
    app.finish().await;
}

/// Its own session is not there.
#[rstest]
#[tokio::test]
async fn a_sign_in_of_which_nothing_is_heard_but_of_others_fails(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    app.intuned
        .script(Call::CreateResult, 999, &done("another"));
    app.intuned.script(Call::One, 999, &Fault::answer(404));
    let ended = connect(&user).await;
    assert_eq!(ended["failure"]["code"], "UPSTREAM_ERROR", "{ended:#}");
    assert_eq!(ended["failure"]["retryable"], true);
    assert_eq!(sessions(&open(&app).await).await, [""; 0]);
    eventually("what it may have made is gone", async || {
        app.intuned.sessions().is_empty()
    })
    .await;
    app.finish().await;
}

/// Its old session would say that it is ready.
#[rstest]
#[case::for_good(999, "FAILED")]
#[case::in_passing(2, "DONE")]
#[tokio::test]
async fn a_renewal_is_not_settled_by_its_old_session(
    #[case] times: usize,
    #[case] expected: &str,
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    let database = open(&app).await;
    let before = sessions(&database).await;
    app.intuned
        .script(Call::CreateResult, times, &done("another"));
    let asked = app.intuned.calls(Call::One);
    let ended = connect(&user).await;
    assert_eq!(ended["kind"], "RECONNECT");
    assert_eq!(ended["status"], expected, "{ended:#}");
    assert_eq!(app.intuned.calls(Call::One), asked);
    assert_eq!(sessions(&database).await, before);
    user.data(CLAIMS, json!({})).await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_start_that_is_answered_with_the_id_of_another_sign_in_follows_its_own_session(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let (user, other) = (
        app.user("a@example.com").await,
        app.user("b@example.com").await,
    );
    let mut asked = app.asked(&user, "passcode").await;
    let database = open(&app).await;
    let theirs = operation::Entity::find().one(&database).await.unwrap();
    let theirs = theirs.unwrap().upstream_operation_id.unwrap();
    let started = json!({ "status": "started", "operationId": theirs });
    let started = Fault::answer(201).with_body(started.to_string());
    app.intuned
        .script(Call::CreateStart, 1, &started.after_work());
    let operation = other.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    let mut socket = app.socket(&other).await;
    socket.follow("1", id, Some(0)).await;
    let events = socket.events().await;
    let is_asked = |event: &Value| event["status"] == "REQUESTED_MORE_INFO";
    assert!(!events.iter().any(is_asked), "{events:#?}");
    assert_eq!(events.last().unwrap()["status"], "DONE", "{events:#?}");
    let passcode = intuned_simulator::PASSCODE;
    user.resume(&asked.id, &asked.request, passcode).await;
    assert_eq!(
        asked.socket.events().await.last().unwrap()["status"],
        "DONE"
    );
    app.finish().await;
}

/// As a release before would have let it happen.
#[rstest]
#[tokio::test]
async fn a_session_that_somebody_elses_connection_has_is_no_success(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let (user, other) = (
        app.user("a@example.com").await,
        app.user("b@example.com").await,
    );
    connect(&other).await;
    let asked = app.asked(&user, "passcode").await;
    let database = open(&app).await;
    let contested = operation::Entity::find()
        .filter(operation::Column::Id.eq(asked.id.parse::<Uuid>().unwrap()))
        .one(&database)
        .await
        .unwrap()
        .unwrap()
        .auth_session_id;
    connection::Entity::update_many()
        .col_expr(
            connection::Column::AuthSessionId,
            Expr::value(contested.as_str()),
        )
        .exec(&database)
        .await
        .unwrap();
    let passcode = intuned_simulator::PASSCODE;
    user.resume(&asked.id, &asked.request, passcode).await;
    let mut socket = asked.socket;
    let last = socket.events().await.pop().unwrap();
    let failure = &last["operation"]["failure"];
    assert_eq!(failure["code"], "UPSTREAM_ERROR", "{last:#}");
    assert_eq!(sessions(&database).await, [contested]);
    app.finish().await;
}

/// Of the releases before, which took whatever session they were told of.
#[rstest]
#[tokio::test]
async fn connections_that_share_a_session_are_parted(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let database = open(&app).await;
    let emails = ["a", "b", "c", "d"].map(|name| format!("{name}@example.com"));
    let mut users = Vec::new();
    for email in &emails {
        let user = app.user(email).await;
        assert_eq!(connect(&user).await["status"], "DONE");
        users.push(user);
    }
    let all = sessions(&database).await;
    let migration = "m20261130_000016_tell_auth_sessions_apart";
    take_back(&database, migration, "connections_auth_session_id_service").await;
    // The first three have the first's, and the third wants to be rid of it.
    let shared = all[0].as_str();
    let mut rows = connection::Entity::find().all(&database).await.unwrap();
    rows.sort_by_key(|row| row.id);
    for (number, row) in rows.into_iter().take(3).enumerate() {
        let mut row = row.into_active_model();
        row.auth_session_id = Set(shared.to_owned());
        if number == 2 {
            row.removing_session_id = Set(Some(shared.to_owned()));
        }
        connection::Entity::update(row)
            .exec(&database)
            .await
            .unwrap();
    }

    database::migrate(&database).await.unwrap();
    let parted = sessions(&database).await;
    assert!(!parted[..3].contains(&all[0]), "{parted:?}");
    assert_eq!(parted[3], all[3], "it shared nothing");
    eventually("the shared session is gone", async || !knows(&app, shared)).await;
    eventually("who wanted to be rid of it is", async || {
        sessions(&database).await.len() == 3
    })
    .await;
    for user in &users[..2] {
        let status = "{ me { connection { status } } }";
        let me = user.data(status, json!({})).await;
        assert_eq!(me["me"]["connection"]["status"], "EXPIRED");
        let code = user
            .error_code("{ me { connection { claims } } }", json!({}))
            .await;
        assert_eq!(code, "CONNECTION_EXPIRED");
        assert_eq!(connect(user).await["status"], "DONE");
        user.data(CLAIMS, json!({})).await;
    }
    let same = connection::Entity::update_many()
        .col_expr(
            connection::Column::AuthSessionId,
            Expr::value(all[3].as_str()),
        )
        .exec(&database)
        .await;
    assert!(database::is_unique_violation(&same.unwrap_err()));
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn sign_ins_that_share_an_id_of_intuneds_are_parted(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let database = open(&app).await;
    let (user, other) = (
        app.user("a@example.com").await,
        app.user("b@example.com").await,
    );
    let (first, second) = (
        app.asked(&user, "passcode").await,
        app.asked(&other, "passcode").await,
    );
    let migration = "m20261130_000017_tell_creations_apart";
    let index = "operations_in_flight_upstream_operation_id";
    take_back(&database, migration, index).await;
    let shared = operation::Column::UpstreamOperationId;
    operation::Entity::update_many()
        .col_expr(shared, Expr::value("one-of-them"))
        .exec(&database)
        .await
        .unwrap();
    database::migrate(&database).await.unwrap();
    let known = operation::Entity::find()
        .filter(shared.is_not_null())
        .all(&database);
    assert_eq!(known.await.unwrap(), []);
    for (user, asked) in [(user, first), (other, second)] {
        user.cancel(&asked.id).await;
    }
    app.finish().await;
}

/// Takes this migration back, which made this index.
async fn take_back(database: &Database, migration: &str, index: &str) {
    let forget = format!("DELETE FROM seaql_migrations WHERE version = '{migration}'");
    for statement in [format!("DROP INDEX {index}"), forget] {
        let done = database.execute_unprepared(&statement).await.unwrap();
        assert!(statement.starts_with("DROP") || done.rows_affected() == 1);
    }
}
