//! A database belongs to one workspace at Intuned, and serves no gateway of another.

use std::time::Duration;

use entity::{replica, workspace_mark};
use intuned_gateway::{
    app::{App, AppConfig, AppError},
    platform::database::{self, Workspace},
};
use rstest::rstest;
use sea_orm::{
    ColumnTrait, Database, DatabaseConnection, EntityTrait, QueryFilter, TransactionTrait,
    sea_query::Expr,
};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use crate::support::{Backend, Setup, TestApp, TestDatabase, socket::DEADLINE, waiting};

pub(crate) fn at(config: &AppConfig, workspace: Workspace) -> AppConfig {
    let mut config = config.clone();
    if let Workspace::Intuned(id) = &workspace {
        config.intuned.workspace_id.clone_from(id);
    }
    config.operations.workspace = workspace;
    config
}

pub(crate) fn named(id: &str) -> Workspace {
    Workspace::Intuned(id.to_owned())
}

pub(crate) async fn stop(app: App) {
    assert!(app.stop(DEADLINE).await);
}

pub(crate) async fn open(app: &TestApp) -> DatabaseConnection {
    let url = app.config.database_url.expose_secret();
    Database::connect(url).await.unwrap()
}

pub(crate) fn refusal(started: Result<App, AppError>) -> String {
    match started {
        Err(error @ AppError::Workspace(_)) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it started"),
    }
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
        configure: |config| config.operations.workspace = Workspace::Demo,
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

/// Between the look at the mark and the first sign of life, somebody gives the database away.
#[tokio::test]
async fn a_gateway_whose_database_is_given_away_while_it_starts_is_refused() {
    let mut app = TestApp::start(Backend::Postgres).await;
    app.stop().await;
    let database = open(&app).await;
    let giving = database.begin().await.unwrap();
    workspace_mark::Entity::update_many()
        .col_expr(workspace_mark::Column::Workspace, Expr::value("another"))
        .filter(workspace_mark::Column::Id.eq(1))
        .exec(&giving)
        .await
        .unwrap();
    let given = async {
        waiting::<1>(&database, &[]).await;
        giving.commit().await.unwrap();
    };
    let (started, ()) = tokio::join!(app.start_another(), given);
    let refused = refusal(started);
    assert!(
        refused.contains("belongs to workspace \"another\""),
        "{refused}"
    );
    let left = replica::Entity::find().all(&database).await.unwrap();
    assert_eq!(left, [], "it gave no sign of life");
    stop(
        TestApp::try_start(at(&app.config, named("another")))
            .await
            .unwrap(),
    )
    .await;
    database.close().await.unwrap();
    app.finish().await;
}

/// Somebody has given it away although the gateway runs: by hand, say, or while the gateway stood still.
#[rstest]
#[tokio::test]
async fn a_gateway_ends_when_its_database_is_anothers(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut app = TestApp::start(backend).await;
    app.stop().await;
    let mut gateway = app.start_another().await.unwrap();
    let database = database::connect(&app.config.database_url, 1)
        .await
        .unwrap();
    let another = named("another");
    let running = database::reassign(&database, &another, Duration::ZERO).await;
    assert_eq!(running.unwrap(), 0);
    let ended = timeout(DEADLINE, gateway.ended()).await.expect("it ends");
    assert!(matches!(ended, AppError::Workspace(_)), "{ended:?}");
    stop(gateway).await;
    database.close().await.unwrap();
    stop(TestApp::try_start(at(&app.config, another)).await.unwrap()).await;
    app.finish().await;
}
