//! Replicas that bring an empty Postgres up to date at the same moment.

use futures_util::future::join_all;
use intuned_gateway::platform::database;
use migration::{Migrator, MigratorTrait};
use sea_orm::Database;
use secrecy::ExposeSecret;

use crate::support::{API_KEY, Backend, Process, TestDatabase, process};

#[tokio::test]
async fn processes_that_start_at_once_migrate_once() {
    let database = TestDatabase::create(Backend::Postgres).await;
    let url = database.url.expose_secret();
    let settings = process::settings(url, "http://127.0.0.1:1", API_KEY);
    let mut replicas: Vec<_> = (0..4).map(|_| Process::spawn(&settings)).collect();
    for replica in &replicas {
        replica.ready().await;
    }
    let connection = Database::connect(url).await.unwrap();
    assert_eq!(
        Migrator::get_applied_migrations(&connection)
            .await
            .unwrap()
            .len(),
        Migrator::migrations().len(),
        "each was applied once"
    );
    for replica in &mut replicas {
        replica.stop().await;
    }
}

#[tokio::test]
async fn many_at_once_all_find_the_tables() {
    let database = TestDatabase::create(Backend::Postgres).await;
    let migrations = (0..8).map(async |_| {
        let connection = database::connect(&database.url, 2).await.unwrap();
        database::migrate(&connection).await.unwrap();
        Migrator::get_pending_migrations(&connection)
            .await
            .unwrap()
            .len()
    });
    assert_eq!(join_all(migrations).await, [0; 8]);
}
