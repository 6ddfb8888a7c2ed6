//! Forms that `DATABASE_URL` has: those that work, and those that are told at once.

use rstest::rstest;
use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use secrecy::ExposeSecret;
use tokio::time::{Duration, Instant};

use crate::{
    settings::complaints,
    support::{Backend, TestApp, eventually},
};

/// The directory of the server's socket, the port and the database's name.
async fn socket(app: &TestApp) -> (String, u16, String) {
    let url: url::Url = app.config.database_url.expose_secret().parse().unwrap();
    let database = Database::connect(url.as_str()).await.unwrap();
    let ask = Statement::from_string(
        DbBackend::Postgres,
        "SELECT current_setting('unix_socket_directories') AS directory",
    );
    let row = database.query_one_raw(ask).await.unwrap().unwrap();
    let name = url.path().trim_start_matches('/').to_owned();
    (
        row.try_get("", "directory").unwrap(),
        url.port().unwrap(),
        name,
    )
}

#[rstest]
#[case("postgres:///NAME?host=DIRECTORY&port=PORT&user=postgres")]
#[case("postgres://postgres:p%40ss%2Fw%23rd@ESCAPED:PORT/NAME")]
#[tokio::test]
async fn a_socket_in_a_directory_is_as_good_as_a_host(#[case] form: &str) {
    let mut app = TestApp::start(Backend::Postgres).await;
    app.stop().await;
    let (directory, port, name) = socket(&app).await;
    let url = form
        .replace("DIRECTORY", &directory)
        .replace("ESCAPED", &directory.replace('/', "%2F"))
        .replace("PORT", &port.to_string())
        .replace("NAME", &name);
    app.config.database_url = url.clone().into();
    // The connection that listens to the other replicas goes there as well.
    app.config.operations.database_url = url.into();
    app.restart().await;
    let user = app.user("a@example.com").await;
    let operation = user.connect("Admin", "admin123").await;
    let id = operation["id"].as_str().unwrap();
    eventually("connected", async || {
        user.operation(id).await["status"] == "DONE"
    })
    .await;
    let ready = reqwest::get(app.api.url.replace("graphql", "health/ready")).await;
    assert_eq!(ready.unwrap().status(), 200);
    app.finish().await;
}

#[rstest]
#[case("postgres://user:canary@a,b/db", "names several hosts")]
#[case("postgres://user:canary@a:5432,b:5432/db", "names several hosts")]
#[case("postgres://user:p@canary/w#rd@host/db", "%2F for /")]
#[case(
    "postgres://user:canary@/db?host=/var/run/postgresql",
    "%2Fvar%2Frun%2Fpostgresql"
)]
#[case("postgres://host/db?sslpassword=canary", "parameter for a password")]
#[case("mysql://user:canary@host/db", "postgres://USER:PASSWORD@HOST/NAME")]
fn what_does_not_work_is_told_at_once_with_what_to_write(
    #[case] url: &str,
    #[case] expected: &str,
    #[values("serve", "migrate", "reassign-database")] command: &str,
) {
    let started = Instant::now();
    let environment = [("DEMO", "true"), ("DATABASE_URL", url)];
    let faults = complaints(&[command], &environment);
    assert!(started.elapsed() < Duration::from_secs(20));
    assert_eq!(faults.len(), 1, "{faults:?}");
    assert!(faults[0].starts_with("DATABASE_URL"), "{faults:?}");
    assert!(faults[0].contains(expected), "{faults:?}");
}
