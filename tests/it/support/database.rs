//! A fresh database for each test.

use sea_orm::{ConnectionTrait, Database};
use secrecy::SecretString;
use tempfile::TempDir;
use uuid::Uuid;

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
