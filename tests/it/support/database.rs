//! A fresh database for each test.

use std::time::Duration;

use sea_orm::{ConnectionTrait, Database, DbBackend, Statement};
use secrecy::SecretString;
use tempfile::TempDir;
use tokio::time::timeout;
use uuid::Uuid;

use super::socket::DEADLINE;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Sqlite,
    Postgres,
}

/// A database of one test's own.
pub(crate) struct TestDatabase {
    pub(crate) url: SecretString,
    /// Where the `SQLite` files are, for tests that read them.
    pub(crate) directory: Option<TempDir>,
}

impl TestDatabase {
    pub(crate) async fn create(backend: Backend) -> Self {
        match backend {
            Backend::Sqlite => {
                let directory = TempDir::new().unwrap();
                let file = directory.path().join("gateway.sqlite");
                Self {
                    url: format!("sqlite://{}", file.display()).into(),
                    directory: Some(directory),
                }
            }
            Backend::Postgres => Self {
                url: create_postgres_database().await,
                directory: None,
            },
        }
    }
}

async fn create_postgres_database() -> SecretString {
    #[expect(
        clippy::disallowed_methods,
        reason = "how the test command names the server"
    )]
    let server = std::env::var("TEST_POSTGRES_URL").expect(
        "TEST_POSTGRES_URL names a Postgres server; run the tests with ./scripts/test, \
         or a part of them with ./scripts/with-postgres cargo test",
    );
    #[expect(clippy::disallowed_methods, reason = "a name that no other test has")]
    let name = format!("test_{}", Uuid::new_v4().simple());
    let admin = Database::connect(&server).await.unwrap();
    admin
        .execute_unprepared(&format!("CREATE DATABASE {name}"))
        .await
        .unwrap();
    admin.close().await.unwrap();
    let mut url: url::Url = server.parse().unwrap();
    url.set_path(&name);
    url.to_string().into()
}

/// The processes of the server that wait for a lock, once they are so many, none of them one of `but`.
pub(crate) async fn waiting<const COUNT: usize>(
    database: &impl ConnectionTrait,
    but: &[i32],
) -> [i32; COUNT] {
    let query = "SELECT pid FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let found = async {
        loop {
            let statement = Statement::from_string(DbBackend::Postgres, query);
            let rows = database.query_all_raw(statement).await.unwrap();
            let pids: Vec<i32> = rows
                .iter()
                .map(|row| row.try_get("", "pid").unwrap())
                .filter(|pid| !but.contains(pid))
                .collect();
            if let Ok(pids) = pids.try_into() {
                return pids;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let found = timeout(DEADLINE, found).await;
    found.expect("so many wait for a lock")
}
