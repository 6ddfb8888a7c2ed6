//! A database belongs to one workspace at Intuned, and serves no gateway of another.

use std::process::Output;

use entity::{connection, session_removal, workspace_mark};
use intuned_gateway::{
    app::{App, AppConfig, AppError},
    database::{self, Workspace},
};
use rstest::rstest;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, Database, DatabaseConnection, EntityTrait, PaginatorTrait,
};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::{
    settings::{run_in, stderr},
    support::{Api, Backend, Setup, TestApp, TestDatabase, eventually, socket::DEADLINE},
};

fn at(config: &AppConfig, workspace: Workspace) -> AppConfig {
    let mut config = config.clone();
    if let Workspace::Intuned(id) = &workspace {
        config.intuned.workspace_id.clone_from(id);
    }
    config.workspace = workspace;
    config
}

fn named(id: &str) -> Workspace {
    Workspace::Intuned(id.to_owned())
}

async fn stop(app: App) {
    assert!(app.stop(DEADLINE).await);
}

async fn open(app: &TestApp) -> DatabaseConnection {
    let url = app.config.database_url.expose_secret();
    Database::connect(url).await.unwrap()
}

fn refusal(started: Result<App, AppError>) -> String {
    match started {
        Err(error @ AppError::Workspace(_)) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it started"),
    }
}

async fn connect(user: &Api) {
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("connected", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
}

#[rstest]
#[case(Workspace::Demo, "a demo")]
#[case(named("another"), "workspace \"another\" at Intuned")]
#[case(named("demo"), "workspace \"demo\" at Intuned")]
#[tokio::test]
async fn a_gateway_of_another_workspace_is_refused(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[case] other: Workspace,
    #[case] shown: &str,
) {
    let mut app = TestApp::start(backend).await;
    app.stop().await;
    let refused = refusal(TestApp::try_start(at(&app.config, other)).await);
    for part in [
        "workspace \"workspace\" at Intuned",
        shown,
        "reassign-database",
    ] {
        assert!(refused.contains(part), "{part}: {refused}");
    }
    // The project, the key and the address may change.
    app.config.intuned.project_name = "another".into();
    app.config.intuned.api_key = "another".into();
    app.config.intuned.base_url = "http://127.0.0.1:1/".parse().unwrap();
    app.restart().await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_demos_database_is_refused_in_earnest(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let setup = Setup {
        configure: |config| config.workspace = Workspace::Demo,
        ..Setup::default()
    };
    let mut app = TestApp::with(backend, setup).await;
    app.stop().await;
    let refused = refusal(TestApp::try_start(at(&app.config, named("workspace"))).await);
    assert!(refused.contains("belongs to a demo"), "{refused}");
    app.restart().await;
    app.finish().await;
}

#[tokio::test]
async fn of_two_that_start_at_once_one_is_refused() {
    let mut app = TestApp::start(Backend::Postgres).await;
    app.stop().await;
    for _ in 0..5 {
        workspace_mark::Entity::delete_many()
            .exec(&open(&app).await)
            .await
            .unwrap();
        let (one, other) = tokio::join!(
            TestApp::try_start(at(&app.config, named("one"))),
            TestApp::try_start(at(&app.config, named("other"))),
        );
        let (started, refused) = if one.is_ok() {
            (one, other)
        } else {
            (other, one)
        };
        refusal(refused);
        stop(started.unwrap()).await;
    }
    app.finish().await;
}

/// As it is after an upgrade from a release that knew no mark.
#[rstest]
#[tokio::test]
async fn a_database_without_a_mark_belongs_to_the_first_that_comes(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let database = TestDatabase::create(backend).await;
    let migrated = database::connect(&database.url, 2).await.unwrap();
    database::migrate(&migrated).await.unwrap();
    assert_eq!(
        database::mark(&migrated).await.unwrap(),
        None,
        "migrating marks nothing"
    );
    database::claim_for(&migrated, &named("first"))
        .await
        .unwrap();
    database::claim_for(&migrated, &named("first"))
        .await
        .unwrap();
    database::claim_for(&migrated, &named("second"))
        .await
        .unwrap_err();
    assert_eq!(
        database::mark(&migrated).await.unwrap(),
        Some(named("first"))
    );
    migrated.close().await.unwrap();
}

#[tokio::test]
async fn a_database_in_memory_belongs_to_whoever_makes_it() {
    let mut app = TestApp::start(Backend::Sqlite).await;
    app.stop().await;
    app.config.database_url = "sqlite::memory:".into();
    app.config.operations.database_url = "sqlite::memory:".into();
    for workspace in [Workspace::Demo, named("workspace")] {
        stop(
            TestApp::try_start(at(&app.config, workspace))
                .await
                .unwrap(),
        )
        .await;
    }
    app.finish().await;
}

/// Runs the subcommand on the application's database.
fn reassign(app: &TestApp, args: &[&str]) -> Output {
    let args: Vec<_> = ["reassign-database"].iter().chain(args).copied().collect();
    let url = app.config.database_url.expose_secret();
    run_in(
        &TempDir::new().unwrap(),
        &args,
        &[("DATABASE_URL", url), ("LEASE", "1s")],
    )
}

#[rstest]
#[tokio::test]
async fn a_database_is_reassigned_when_that_is_said(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut app = TestApp::start(backend).await;
    let user = app.user("a@example.com").await;
    connect(&user).await;
    let other = ["--intuned-workspace-id=another", "--yes"];
    let running = reassign(&app, &other);
    assert_eq!(running.status.code(), Some(1), "{running:?}");
    assert!(stderr(&running).contains("DATABASE_URL"), "{running:?}");
    app.stop().await;
    let database = open(&app).await;
    let connected = connection::Entity::find()
        .one(&database)
        .await
        .unwrap()
        .unwrap();
    let removal = session_removal::ActiveModel {
        auth_session_id: Set("to-be-deleted".into()),
        user_id: Set(connected.user_id),
        requested_at: Set(connected.created_at),
        settles_at: Set(connected.created_at),
        due_at: Set(connected.created_at),
        attempts: Set(0),
    };
    removal.insert(&database).await.unwrap();
    database.close().await.unwrap();

    let asked = reassign(&app, &other[..1]);
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    assert!(stderr(&asked).contains("nothing was changed"), "{asked:?}");
    refusal(TestApp::try_start(at(&app.config, named("another"))).await);

    let done = reassign(&app, &other);
    assert!(done.status.success(), "{done:?}");
    let log = stderr(&done);
    for told in [
        "connections=1",
        "to-be-deleted",
        "belongs to workspace \"another\" at Intuned from now on",
    ] {
        assert!(log.contains(told), "{told}: {log}");
    }
    refusal(app.start_another().await);
    let again = reassign(&app, &other);
    assert!(
        again.status.success() && stderr(&again).contains("already"),
        "{again:?}"
    );

    let back = reassign(&app, &["--intuned-workspace-id=workspace", "--yes"]);
    assert!(back.status.success(), "{back:?}");
    let database = open(&app).await;
    assert_eq!(
        connection::Entity::find().one(&database).await.unwrap(),
        Some(connected)
    );
    assert_eq!(
        session_removal::Entity::find()
            .count(&database)
            .await
            .unwrap(),
        1
    );
    database.close().await.unwrap();
    app.restart().await;
    app.finish().await;
}

#[rstest]
#[case(&["--demo", "--yes"], Workspace::Demo)]
#[case(&["--demo=false", "--intuned-workspace-id=w", "--yes"], Workspace::Intuned("w".into()))]
#[tokio::test]
async fn it_may_become_a_demos_and_any_ones(#[case] args: &[&str], #[case] expected: Workspace) {
    let mut app = TestApp::start(Backend::Sqlite).await;
    app.stop().await;
    assert!(reassign(&app, args).status.success());
    stop(TestApp::try_start(at(&app.config, expected)).await.unwrap()).await;
    app.finish().await;
}

#[test]
fn which_it_is_to_be_must_be_said() {
    let output = run_in(
        &TempDir::new().unwrap(),
        &["reassign-database", "--yes"],
        &[],
    );
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    assert!(
        stderr(&output).contains("INTUNED_WORKSPACE_ID is missing"),
        "{output:?}"
    );
}
