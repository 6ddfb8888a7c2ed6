//! A database is given to another workspace by the subcommand `reassign-database`, and by nothing else.

use std::{fs, process::Output};

use entity::{connection, session_removal};
use intuned_gateway::platform::database::{self, Workspace};
use rstest::rstest;
use rustix::process::Signal;
use sea_orm::{ActiveModelTrait, ActiveValue::Set, EntityTrait};
use secrecy::ExposeSecret;
use tempfile::TempDir;

use crate::{
    settings::{run_in, stderr},
    support::{API_KEY, Api, Backend, Process, TestApp, TestDatabase, eventually, process},
    workspaces::{at, named, open, refusal, stop},
};

async fn connect(user: &Api) {
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("connected", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
}

/// Runs the subcommand on the application's database.
fn reassign(app: &TestApp, args: &[&str]) -> Output {
    reassign_at(app.config.database_url.expose_secret(), args)
}

fn reassign_at(url: &str, args: &[&str]) -> Output {
    let args: Vec<_> = ["reassign-database"].iter().chain(args).copied().collect();
    run_in(
        &TempDir::new().unwrap(),
        &args,
        &[("DATABASE_URL", url), ("LEASE", "1s")],
    )
}

/// What the database knows of in its workspace.
async fn known(app: &TestApp) -> (Vec<connection::Model>, Vec<session_removal::Model>) {
    let database = open(app).await;
    let connections = connection::Entity::find().all(&database).await.unwrap();
    let removals = session_removal::Entity::find()
        .all(&database)
        .await
        .unwrap();
    database.close().await.unwrap();
    (connections, removals)
}

/// Notes an auth session of the connected user's that is still to be deleted.
async fn note_removal(app: &TestApp) {
    let database = open(app).await;
    let connected = connection::Entity::find().one(&database).await.unwrap();
    let connected = connected.unwrap();
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
}

const ANOTHER: [&str; 2] = ["--intuned-workspace-id=another", "--yes"];

#[rstest]
#[tokio::test]
async fn a_database_is_reassigned_when_that_is_said_and_nothing_else_is_changed(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let mut app = TestApp::start(backend).await;
    connect(&app.user("a@example.com").await).await;
    app.stop().await;
    note_removal(&app).await;
    let before = known(&app).await;

    let asked = reassign(&app, &ANOTHER[..1]);
    assert_eq!(asked.status.code(), Some(1), "{asked:?}");
    assert!(stderr(&asked).contains("nothing was changed"), "{asked:?}");
    refusal(TestApp::try_start(at(&app.config, named("another"))).await);

    let done = reassign(&app, &ANOTHER);
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
    let again = reassign(&app, &ANOTHER);
    assert!(
        again.status.success() && stderr(&again).contains("already"),
        "{again:?}"
    );

    let back = reassign(&app, &["--intuned-workspace-id=workspace", "--yes"]);
    assert!(back.status.success(), "{back:?}");
    assert_eq!(known(&app).await, before);
    app.restart().await;
    app.finish().await;
}

#[rstest]
#[tokio::test]
async fn a_database_that_a_gateway_runs_on_is_not_reassigned(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let app = TestApp::start(backend).await;
    let running = reassign(&app, &ANOTHER);
    assert_eq!(running.status.code(), Some(1), "{running:?}");
    assert!(stderr(&running).contains("DATABASE_URL"), "{running:?}");
    app.finish().await;
}

/// The file is locked for as long as the process lives, so this is for Postgres.
#[tokio::test]
async fn a_gateway_that_stood_still_while_its_database_was_reassigned_ends() {
    let mut app = TestApp::start(Backend::Postgres).await;
    app.stop().await;
    let base_url = app.config.intuned.base_url.as_str();
    let url = app.config.database_url.expose_secret();
    let mut gateway = Process::spawn(&process::settings(url, base_url, API_KEY));
    gateway.ready().await;
    gateway.signal(Signal::STOP);
    eventually("its lease has run out", async || {
        reassign(&app, &ANOTHER).status.success()
    })
    .await;
    gateway.signal(Signal::CONT);
    let status = gateway.ended().await;
    assert_eq!(status.code(), Some(1), "{}", gateway.log());
    let log = gateway.log();
    let last = log.lines().last().unwrap();
    assert!(
        last.starts_with("error: the database (DATABASE_URL) belongs to workspace \"another\""),
        "{log}"
    );
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

#[rstest]
#[case(Workspace::Demo)]
#[case(named("another"))]
#[case(named("a shell's $word"))]
#[tokio::test]
async fn the_command_of_a_refusal_works_as_it_stands(#[case] wanted: Workspace) {
    let mut app = TestApp::start(Backend::Sqlite).await;
    app.stop().await;
    let refused = refusal(TestApp::try_start(at(&app.config, wanted.clone())).await);
    let command = refused.split('`').nth(1).expect("it has a command");
    let args = command.strip_prefix("intuned-gateway ").unwrap();
    let binary = env!("CARGO_BIN_EXE_intuned-gateway");
    let done = std::process::Command::new("sh")
        .args(["-c", &format!("{binary} {args}")])
        .env_clear()
        .env("DATABASE_URL", app.config.database_url.expose_secret())
        .output()
        .unwrap();
    assert!(done.status.success(), "{command}: {done:?}");
    stop(TestApp::try_start(at(&app.config, wanted)).await.unwrap()).await;
    app.finish().await;
}

#[rstest]
#[case("sqlite:data/gatway.sqlite")]
#[case("sqlite:gatway.sqlite")]
#[case("sqlite::memory:")]
#[test]
fn what_is_not_there_is_not_reassigned_nor_made(
    #[case] url: &str,
    #[values(&ANOTHER, &ANOTHER[..1])] args: &[&str],
) {
    let directory = TempDir::new().unwrap();
    let args: Vec<_> = ["reassign-database"].iter().chain(args).copied().collect();
    let output = run_in(&directory, &args, &[("DATABASE_URL", url)]);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = stderr(&output);
    assert!(told.contains("no gateway's database is there"), "{told}");
    let made = fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(made, 0);
}

#[rstest]
#[tokio::test]
async fn a_database_that_no_gateway_has_used_is_left_as_it_is(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let created = TestDatabase::create(backend).await;
    let database = database::connect(&created.url, 1).await.unwrap();
    let output = reassign_at(created.url.expose_secret(), &ANOTHER);
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told = stderr(&output);
    assert!(told.contains("no gateway's database is there"), "{told}");
    assert!(database::is_new(&database).await.unwrap());
    database.close().await.unwrap();
}

#[test]
fn which_it_is_to_be_must_be_said() {
    let output = run_in(
        &TempDir::new().unwrap(),
        &["reassign-database", "--yes"],
        &[],
    );
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let told = stderr(&output);
    assert!(told.contains("INTUNED_WORKSPACE_ID is missing"), "{told}");
    assert!(told.contains("--demo"), "{told}");
}
