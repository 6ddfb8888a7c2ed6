//! Opens the database and brings its tables up to date.
//!
//! `SQLite` gets one connection: it has one writer anyway, and within one process a queue for that
//! connection is fairer than polling for the file's lock, and free of "database is locked".

mod address;
mod clock;
mod errors;
mod file;
mod lanes;
mod locked;
mod metrics;
mod migrations;
mod pool;
mod postgres;
mod renewal;
mod server;
mod sqlite;
mod startup;
mod transaction;
mod workspace;
mod writes;

use std::{io, path::PathBuf, sync::Arc, time::Duration};

use sea_orm::{
    ConnectOptions, DbBackend, DbErr, RuntimeErr, SqliteTransactionMode, TransactionOptions, sqlx,
};
use secrecy::{ExposeSecret, SecretString};

pub(crate) use self::file::create_directory_of;
use self::renewal::Renewal;
pub use self::{
    address::{AddressError, backend, key_file, read_address, sqlite_file},
    clock::{SharedClock, clock},
    errors::{
        cannot_write, is_foreign_key_violation, is_locked, is_read_only, is_transient,
        is_unique_violation,
    },
    file::lock_file,
    metrics::{DatabaseMetrics, watch_pool},
    migrations::{Standing, is_new, migrate, standing},
    pool::{Database, PoolSize},
    postgres::listener,
    renewal::Renewed,
    transaction::Transaction,
    workspace::{
        Left, Workspace, WorkspaceError, claim_for, left_behind, mark, marked_for, reassign,
    },
    writes::Write,
};

/// How long to wait for a free connection before giving up: new work is shed rather than queued.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(3);
/// A connection unused for longer is tried before it is handed out: the server may have restarted.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(1);

/// Why the database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The address is not one of a database that the gateway knows.
    #[error(
        "the database's address (DATABASE_URL) must be postgres://..., postgresql://... or sqlite:..."
    )]
    Address,
    /// The file could not be made.
    #[error("the database file {path} cannot be made (DATABASE_URL)")]
    File {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process has the file.
    #[error(
        "another gateway uses the database file {path} (DATABASE_URL); for more than one, use Postgres"
    )]
    InUse {
        /// Which file.
        path: PathBuf,
    },
    /// No connection.
    #[error("no connection to the database (DATABASE_URL)")]
    Connect(#[source] DbErr),
    /// A pooler does not take what every connection begins with.
    #[error(
        "what DATABASE_URL leads to refuses the connection; where that is a pooler, have it let parameters be \
         (ignore_startup_parameters), or leave `options` out of the address"
    )]
    Refused(#[source] DbErr),
    /// A pooler lends the server's connections for a transaction at a time.
    #[error(
        "DATABASE_URL leads to a pooler in transaction mode, which loses notifications and prepared statements; \
         use session pooling, or connect to Postgres directly"
    )]
    Shared,
    /// It takes no writes.
    #[error(
        "the database takes no writes (DATABASE_URL): it is a standby, or was made read-only, for its disk is full say"
    )]
    ReadOnly,
    /// The tables could not be brought up to date.
    #[error("the database's tables cannot be brought up to date (DATABASE_URL)")]
    Migrate(#[source] DbErr),
}

/// Opens the database at `url`: makes a missing `SQLite` file, waits up to half a minute for
/// Postgres to come up. `max_connections` is for Postgres.
///
/// # Errors
/// [`DatabaseError::Address`], [`DatabaseError::File`], or what of the rest it was that Postgres did.
pub async fn connect(url: &SecretString, max_connections: u32) -> Result<Database, DatabaseError> {
    let url = url.expose_secret();
    let renewal = Arc::<Renewal>::default();
    let options = match backend(url).ok_or(DatabaseError::Address)? {
        DbBackend::Sqlite => {
            if let Some(path) = sqlite_file(url) {
                file::create_file(&path).map_err(|source| DatabaseError::File { path, source })?;
            }
            sqlite::options(url)
        }
        DbBackend::Postgres => {
            startup::wait_for_postgres(url).await?;
            postgres::options(url, max_connections, &renewal)
        }
        _ => return Err(DatabaseError::Address),
    };
    let connected = sea_orm::Database::connect(options).await;
    connected
        .map(|connections| Database::over(connections, renewal))
        .map_err(DatabaseError::Connect)
}

/// Begins a transaction that writes. On `SQLite` it takes the write lock at once: one that began by
/// reading could find itself outrun, and could then only fail.
///
/// # Errors
/// The database's.
pub async fn begin(database: &Database) -> Result<Transaction, DbErr> {
    database.begin_with(for_writing()).await
}

fn for_writing() -> TransactionOptions {
    TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..TransactionOptions::default()
    }
}

/// Statements stay out of logs and spans.
fn quiet_options(url: &str) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .sqlx_logging(false)
        .record_stmt_in_spans(false);
    options
}

fn connection_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use sea_orm::{ActiveModelTrait, ConnectionTrait, EntityTrait, Set, Statement};
    use tempfile::TempDir;

    use super::*;

    pub(super) fn file_url(directory: &TempDir) -> SecretString {
        let path = directory.path().join("private/gateway.sqlite");
        format!("sqlite://{}", path.display()).into()
    }

    async fn pragma(database: &Database, name: &str) -> String {
        let statement =
            Statement::from_string(DbBackend::Sqlite, format!("SELECT * FROM pragma_{name}"));
        let row = database.query_one_raw(statement).await.unwrap().unwrap();
        row.try_get_by_index::<String>(0)
            .or_else(|_| row.try_get_by_index::<i64>(0).map(|n| n.to_string()))
            .unwrap()
    }

    #[tokio::test]
    async fn a_sqlite_file_is_made_for_its_owner_alone() {
        let directory = TempDir::new().unwrap();
        let url = file_url(&directory);
        let database = connect(&url, 10).await.unwrap();
        migrate(&database).await.unwrap();

        let mode = |path: &str| {
            let metadata = std::fs::metadata(directory.path().join(path)).unwrap();
            metadata.permissions().mode() & 0o777
        };
        assert_eq!(mode("private"), 0o700);
        assert_eq!(mode("private/gateway.sqlite"), 0o600);
        assert_eq!(mode("private/gateway.sqlite-wal"), 0o600);
        assert_eq!(pragma(&database, "journal_mode").await, "wal");
        assert_eq!(pragma(&database, "foreign_keys").await, "1");
        assert_eq!(pragma(&database, "synchronous").await, "1");
        assert_eq!(pragma(&database, "busy_timeout").await, "1500");
    }

    /// `SQLite` does so when the disk is full at a COMMIT. What is committed afterwards must stand.
    #[tokio::test]
    async fn a_transaction_that_the_database_gave_up_by_itself_takes_no_other_with_it() {
        let directory = TempDir::new().unwrap();
        let url = file_url(&directory);
        let database = connect(&url, 1).await.unwrap();
        migrate(&database).await.unwrap();
        let given_up = begin(&database).await.unwrap();
        given_up.execute_unprepared("ROLLBACK").await.unwrap();
        given_up.commit().await.unwrap_err();

        drop(begin(&database).await.unwrap());
        let user = entity::user::ActiveModel {
            id: Set(uuid::Uuid::from_u128(1)),
            email: Set("a@example.com".into()),
            password_hash: Set(entity::user::PasswordHash::none()),
            created_at: Set(chrono::DateTime::UNIX_EPOCH.into()),
            ..Default::default()
        };
        let transaction = begin(&database).await.unwrap();
        user.insert(&transaction).await.unwrap();
        transaction.commit().await.unwrap();
        let other = connect(&url, 1).await.unwrap();
        let users = entity::user::Entity::find().all(&other).await.unwrap();
        assert_eq!(users.len(), 1);
    }

    /// By `.cargo/config.toml`.
    #[tokio::test]
    async fn sqlite_is_built_as_configured() {
        let database = connect(&"sqlite::memory:".into(), 1).await.unwrap();
        let options = Statement::from_string(DbBackend::Sqlite, "PRAGMA compile_options");
        let options = database.query_all_raw(options).await.unwrap();
        let options: Vec<String> = options
            .iter()
            .map(|option| option.try_get_by_index(0).unwrap())
            .collect();
        assert!(
            options.contains(&"DEFAULT_MEMSTATUS=0".to_owned()),
            "{options:?}"
        );
        for absent in ["ENABLE_MEMORY_MANAGEMENT", "ENABLE_STAT4"] {
            assert!(!options.contains(&absent.to_owned()), "{absent}");
        }
    }

    #[tokio::test]
    async fn a_foreign_address_is_refused_without_repeating_it() {
        let error = connect(&"mysql://user:hunter2@host/db".into(), 1)
            .await
            .unwrap_err();
        assert!(!format!("{error:?} {error}").contains("hunter2"));
    }
}
