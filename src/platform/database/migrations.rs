//! Brings the tables up to date, and tells whether they are.

use std::{collections::HashSet, time::Duration};

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement};
use tokio::time::{Instant, sleep};

use super::{Database, DatabaseError, for_writing, is_transient};

/// How long a table's lock is waited for.
const LOCK_TIMEOUT: &str = "10s";
/// The same for a connection, and for the lock of a `SQLite` file.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);
/// Names the advisory lock under which replicas migrate one at a time.
const MIGRATION_LOCK: i64 = 0x696e_7475_6e65_6400;

/// Brings the tables up to date. Several processes may do so at once: one works, the others wait.
///
/// # Errors
/// [`DatabaseError::Migrate`]; nothing is changed then.
pub async fn migrate(database: &Database) -> Result<(), DatabaseError> {
    apply_migrations(database)
        .await
        .map_err(DatabaseError::Migrate)
}

/// Whether no gateway has ever brought tables up to date here.
///
/// # Errors
/// The database's.
pub async fn is_new(database: &Database) -> Result<bool, DbErr> {
    let backend = database.get_database_backend();
    let sql = match backend {
        DbBackend::Postgres => "SELECT to_regclass('seaql_migrations') IS NULL AS is_new",
        _ => {
            "SELECT NOT EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'seaql_migrations') AS is_new"
        }
    };
    let row = database.query_one_raw(Statement::from_string(backend, sql));
    row.await?.map_or(Ok(true), |row| row.try_get("", "is_new"))
}

/// How the database stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The tables are at least as new as this build. Newer ones do: another replica may have been upgraded
    /// already.
    pub is_migrated: bool,
    /// It is a standby, or was made read-only.
    pub is_read_only: bool,
}

/// Looks how the database stands.
///
/// # Errors
/// The database's.
pub async fn standing(database: &Database) -> Result<Standing, DbErr> {
    let backend = database.get_database_backend();
    let is_read_only = match backend {
        DbBackend::Postgres => "current_setting('transaction_read_only') = 'on'",
        _ => "false",
    };
    let sql = format!("SELECT version, {is_read_only} AS is_read_only FROM seaql_migrations");
    let rows = database.query_all_raw(Statement::from_string(backend, sql));
    let rows = rows.await?;
    let applied: Result<Vec<String>, _> =
        rows.iter().map(|row| row.try_get("", "version")).collect();
    let is_read_only: Result<Vec<bool>, _> = rows
        .iter()
        .map(|row| row.try_get("", "is_read_only"))
        .collect();
    Ok(Standing {
        is_migrated: has_known_migrations(applied?),
        is_read_only: is_read_only?.contains(&true),
    })
}

fn has_known_migrations(applied: impl IntoIterator<Item = String>) -> bool {
    let applied: HashSet<_> = applied.into_iter().collect();
    let known = Migrator::migrations();
    known
        .iter()
        .all(|migration| applied.contains(migration.name()))
}

/// One transaction around everything: it is what the lock lives in, on either database.
async fn apply_migrations(database: &Database) -> Result<(), DbErr> {
    let transaction = begin_patiently(database).await?;
    let applied = Migrator::get_migration_models(&transaction).await?;
    // Newer tables than this build knows are left alone: an upgrade of the replicas may be under way.
    if !has_known_migrations(applied.into_iter().map(|row| row.version)) {
        Migrator::up(&transaction, None).await?;
    }
    transaction.commit().await
}

/// Begins a transaction with time-outs of its own: others may be at it, and a long table takes its time.
async fn begin_patiently(database: &Database) -> Result<DatabaseTransaction, DbErr> {
    let begun = Instant::now();
    let transaction = loop {
        match database.begin_patiently(for_writing()).await {
            Err(error) if is_transient(&error) && begun.elapsed() < PATIENCE => {
                tracing::info!(%error, "the database is busy; trying again");
                sleep(PAUSE).await;
            }
            done => break done?,
        }
    };
    if database.get_database_backend() == DbBackend::Postgres {
        for statement in [
            "SET LOCAL statement_timeout = 0",
            "SET LOCAL lock_timeout = 0",
            &format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"),
            // Whoever waits for the lock of a table holds up all who need it.
            &format!("SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"),
        ] {
            transaction.execute_unprepared(statement).await?;
        }
    }
    Ok(transaction)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::{
        super::{connect, tests::file_url},
        *,
    };

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
}
