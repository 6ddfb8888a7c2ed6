//! Opens the database and brings its tables up to date.
//!
//! `SQLite` gets one connection: it has one writer anyway, and within one process a queue for that
//! connection is fairer than polling for the file's lock, and free of "database is locked".

mod errors;
mod lanes;
mod pool;
mod writes;

use std::{
    collections::HashSet,
    fs::{DirBuilder, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use migration::{Migrator, MigratorTrait};
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, RuntimeErr,
    SqliteTransactionMode, Statement, TransactionOptions,
    sea_query::Expr,
    sqlx::{
        self, Connection, PgConnection,
        postgres::PgConnectOptions,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};
use secrecy::{ExposeSecret, SecretString};
use tokio::time::{Instant, sleep, timeout};

use self::errors::is_transient_sqlx;
pub use self::{
    errors::{cannot_write, is_foreign_key_violation, is_transient, is_unique_violation},
    pool::{Database, PoolSize},
    writes::Write,
};

/// How long to wait for a free connection before giving up: new work is shed rather than queued.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long `SQLite` waits for another process that holds the file's lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection unused for longer is tried before it is handed out: the server may have restarted.
const IDLE_BEFORE_PING: Duration = Duration::from_secs(1);
/// So far may the thread that runs `SQLite` be ahead of who reads the rows: as many as one gathered read
/// finds at most, or the two would wake each other for each further one.
const ROWS_AHEAD: usize = 256;
/// How long Postgres may take to come up when both start at once.
const STARTUP_PATIENCE: Duration = Duration::from_secs(30);
const STARTUP_PAUSE: Duration = Duration::from_millis(500);
/// After which Postgres ends a transaction that does nothing, so that a replica which was stopped in
/// the middle of one does not hold its row locks against the others.
const IDLE_IN_TRANSACTION: &str = "10s";
/// Names the advisory lock under which replicas migrate one at a time.
const MIGRATION_LOCK: i64 = 0x696e_7475_6e65_6400;

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
    /// The tables could not be brought up to date.
    #[error("the database's tables cannot be brought up to date (DATABASE_URL)")]
    Migrate(#[source] DbErr),
}

/// Which database `url` is for; none when it is for none that the gateway knows, or is no address.
pub fn backend(url: &str) -> Option<DbBackend> {
    match url::Url::parse(url).ok()?.scheme() {
        "postgres" | "postgresql" => {
            PgConnectOptions::from_str(url).ok()?;
            Some(DbBackend::Postgres)
        }
        "sqlite" => {
            SqliteConnectOptions::from_str(url).ok()?;
            Some(DbBackend::Sqlite)
        }
        _ => None,
    }
}

/// The file that a `sqlite:` address names; none for a database in memory, and for Postgres.
pub fn sqlite_file(url: &str) -> Option<PathBuf> {
    if backend(url)? != DbBackend::Sqlite || url.contains(":memory:") || url.contains("mode=memory")
    {
        return None;
    }
    let options = SqliteConnectOptions::from_str(url).ok()?;
    Some(options.get_filename().to_owned())
}

/// Opens the database at `url`: makes a missing `SQLite` file, waits up to half a minute for
/// Postgres to come up. `max_connections` is for Postgres.
///
/// # Errors
/// [`DatabaseError::Address`], [`DatabaseError::File`] or [`DatabaseError::Connect`].
pub async fn connect(url: &SecretString, max_connections: u32) -> Result<Database, DatabaseError> {
    let url = url.expose_secret();
    let options = match backend(url).ok_or(DatabaseError::Address)? {
        DbBackend::Sqlite => {
            if let Some(path) = sqlite_file(url) {
                create_file(&path).map_err(|source| DatabaseError::File { path, source })?;
            }
            sqlite_options(url)
        }
        DbBackend::Postgres => {
            wait_for_postgres(url)
                .await
                .map_err(|error| DatabaseError::Connect(connection_error(error)))?;
            postgres_options(url, max_connections)
        }
        _ => return Err(DatabaseError::Address),
    };
    let connected = sea_orm::Database::connect(options).await;
    connected
        .map(Database::over)
        .map_err(DatabaseError::Connect)
}

/// Makes sure that no other process serves from the same `SQLite` file, for as long as the lock that
/// is returned lives. Postgres is there to be shared: no lock.
///
/// # Errors
/// [`DatabaseError::InUse`] or [`DatabaseError::File`].
pub fn lock_file(url: &SecretString) -> Result<Option<File>, DatabaseError> {
    let Some(path) = sqlite_file(url.expose_secret()) else {
        return Ok(None);
    };
    let lock = path.with_added_extension("lock");
    let failed = |source| DatabaseError::File {
        path: lock.clone(),
        source,
    };
    create_file(&lock).map_err(failed)?;
    let file = File::open(&lock).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Err(DatabaseError::InUse { path }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Brings the tables up to date. Several processes may do so at once: one works, the others wait.
///
/// # Errors
/// [`DatabaseError::Migrate`]; nothing is changed then.
pub async fn migrate(database: &Database) -> Result<(), DatabaseError> {
    apply_migrations(database)
        .await
        .map_err(DatabaseError::Migrate)
}

/// Whether the tables are at least as new as this build. Newer ones do: another replica may have been
/// upgraded already.
///
/// # Errors
/// The database's.
pub async fn is_migrated(database: &Database) -> Result<bool, DbErr> {
    let backend = database.get_database_backend();
    let applied = Statement::from_string(backend, "SELECT version FROM seaql_migrations");
    let applied = database.query_all_raw(applied).await?;
    let applied: Result<Vec<String>, _> = applied
        .iter()
        .map(|row| row.try_get("", "version"))
        .collect();
    Ok(has_known_migrations(applied?))
}

fn has_known_migrations(applied: impl IntoIterator<Item = String>) -> bool {
    let applied: HashSet<_> = applied.into_iter().collect();
    let known = Migrator::migrations();
    known
        .iter()
        .all(|migration| applied.contains(migration.name()))
}

/// Begins a transaction that writes. On `SQLite` it takes the write lock at once: one that began by
/// reading could find itself outrun, and could then only fail.
///
/// # Errors
/// The database's.
pub async fn begin(database: &Database) -> Result<DatabaseTransaction, DbErr> {
    database
        .begin_with(TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        })
        .await
}

/// The database's own clock, in milliseconds since the Unix epoch: the one clock that replicas share. Read
/// once for a statement, or what is compared with it could not be looked up in an index.
pub fn clock(database: &impl ConnectionTrait) -> Expr {
    Expr::cust(match database.get_database_backend() {
        DbBackend::Postgres => {
            "(SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS bigint))"
        }
        _ => "(SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER))",
    })
}

/// One transaction around everything: it is what the lock lives in, on either database.
async fn apply_migrations(database: &Database) -> Result<(), DbErr> {
    let transaction = begin(database).await?;
    if transaction.get_database_backend() == DbBackend::Postgres {
        transaction
            .execute_unprepared(&format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            .await?;
    }
    let applied = Migrator::get_migration_models(&transaction).await?;
    // Newer tables than this build knows are left alone: an upgrade of the replicas may be under way.
    if !has_known_migrations(applied.into_iter().map(|row| row.version)) {
        Migrator::up(&transaction, None).await?;
    }
    transaction.commit().await
}

fn sqlite_options(url: &str) -> ConnectOptions {
    let mut options = quiet_options(url);
    // Never closed without need: a database in memory lives as long as its connection.
    options
        .max_connections(1)
        .min_connections(1)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // When `SQLite` gives a transaction up by itself (the disk is full, say), sqlx does not notice, takes
        // further ones for parts of it, and never commits again.
        .map_sqlx_sqlite_before_acquire(|connection, _| {
            let is_usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(is_usable) })
        })
        .map_sqlx_sqlite_opts(|options| {
            options
                .create_if_missing(true)
                .foreign_keys(true)
                .journal_mode(SqliteJournalMode::Wal)
                .synchronous(SqliteSynchronous::Normal)
                .busy_timeout(BUSY_TIMEOUT)
                .row_buffer_size(ROWS_AHEAD)
        });
    options
}

fn postgres_options(url: &str, max_connections: u32) -> ConnectOptions {
    let mut options = quiet_options(url);
    options
        .max_connections(max_connections)
        .test_before_acquire_if_idle_for(IDLE_BEFORE_PING)
        .set_application_name(env!("CARGO_PKG_NAME"))
        .map_sqlx_postgres_opts(|options| {
            options.options([
                ("idle_in_transaction_session_timeout", IDLE_IN_TRANSACTION),
                // A plan is kept until its tables are analyzed anew: one that was made while a table was small
                // must not read all of it when it has grown.
                ("enable_seqscan", "off"),
                ("jit", "off"),
            ])
        });
    options
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

/// Tries a single connection until one stands. The pool would wait too, but its error would only
/// say that time was up, not that the connection was refused or the host's name unknown.
async fn wait_for_postgres(url: &str) -> Result<(), sqlx::Error> {
    let deadline = Instant::now() + STARTUP_PATIENCE;
    loop {
        let attempt = timeout(ACQUIRE_TIMEOUT, PgConnection::connect(url))
            .await
            .unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        match attempt {
            Ok(connection) => return connection.close().await,
            Err(error) if is_transient_sqlx(&error) && Instant::now() < deadline => {
                tracing::warn!(%error, "the database does not answer yet; trying again");
                sleep(STARTUP_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

fn connection_error(error: sqlx::Error) -> DbErr {
    DbErr::Conn(RuntimeErr::SqlxError(error.into()))
}

/// Makes the directories on the way to `file`, for their owner's eyes only.
pub(crate) fn create_directory_of(file: &Path) -> io::Result<()> {
    let Some(directory) = file.parent().filter(|path| !path.as_os_str().is_empty()) else {
        return Ok(());
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Makes the file for its owner's eyes only. `SQLite` gives its `-wal` and `-shm` files the same
/// permissions.
fn create_file(path: &Path) -> io::Result<()> {
    create_directory_of(path)?;
    OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        .open(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use sea_orm::{ActiveModelTrait, EntityTrait, Set};
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

    #[test]
    fn addresses_are_told_apart() {
        assert_eq!(backend("postgres://u:p@h/d"), Some(DbBackend::Postgres));
        assert_eq!(backend("postgresql://h/d"), Some(DbBackend::Postgres));
        assert_eq!(backend("sqlite:data/x.sqlite"), Some(DbBackend::Sqlite));
        assert_eq!(backend("mysql://h/d"), None);
        assert_eq!(backend("no address"), None);
        assert_eq!(backend("postgres://h:port/d"), None);
        assert_eq!(backend("sqlite:x?mode=unheard-of"), None);
        assert_eq!(
            sqlite_file("sqlite:data/x.sqlite?mode=rwc"),
            Some("data/x.sqlite".into())
        );
        assert_eq!(sqlite_file("sqlite::memory:"), None);
        assert_eq!(sqlite_file("postgres://h/d"), None);
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
        assert_eq!(pragma(&database, "busy_timeout").await, "5000");
    }

    #[tokio::test]
    async fn many_may_migrate_at_once() {
        let directory = TempDir::new().unwrap();
        let url = file_url(&directory);
        let replicas = (0..4).map(|_| async {
            let database = connect(&url, 1).await.unwrap();
            migrate(&database).await
        });
        for result in futures_util::future::join_all(replicas).await {
            result.unwrap();
        }
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
