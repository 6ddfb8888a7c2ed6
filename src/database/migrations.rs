//! Brings the tables up to date, and tells whether they are.

use std::collections::HashSet;

use migration::{Migrator, MigratorTrait};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use super::{Database, DatabaseError, begin};

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
