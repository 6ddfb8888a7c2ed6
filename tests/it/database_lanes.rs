//! Connections to Postgres that serve statement after statement.

use std::time::Duration;

use intuned_gateway::database::{self, Database};
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};
use tokio::time::timeout;

use crate::support::{Backend, TestDatabase, eventually, socket::DEADLINE};

async fn open(connections: u32) -> Database {
    let created = TestDatabase::create(Backend::Postgres).await;
    database::connect(&created.url, connections).await.unwrap()
}

async fn ask<T: sea_orm::TryGetable>(
    database: &impl ConnectionTrait,
    sql: &str,
) -> Result<T, DbErr> {
    let statement = Statement::from_string(DbBackend::Postgres, sql);
    let row = database.query_one_raw(statement).await?;
    row.unwrap().try_get_by_index(0)
}

async fn process(database: &impl ConnectionTrait) -> Result<i32, DbErr> {
    ask(database, "SELECT pg_backend_pid()").await
}

#[tokio::test]
async fn statements_share_a_connection() {
    let database = open(4).await;
    let first = process(&database).await.unwrap();
    for _ in 0..10 {
        assert_eq!(process(&database).await.unwrap(), first);
    }
    let size = database.size();
    assert_eq!((size.open, size.idle, size.max), (1, 1, 4));
    timeout(DEADLINE, database.close()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_statement_that_fails_or_is_given_up_spoils_nothing() {
    let database = open(4).await;
    for _ in 0..3 {
        let failed = ask::<i32>(&database, "SELECT 1 / 0").await.unwrap_err();
        assert!(!database::is_transient(&failed), "{failed}");
        let slow = ask::<i32>(&database, "SELECT 7 FROM pg_sleep(0.2)");
        timeout(Duration::from_millis(20), slow).await.unwrap_err();
        assert_eq!(ask::<i32>(&database, "SELECT 8").await.unwrap(), 8);
    }
    eventually("all are idle again", async || {
        let size = database.size();
        size.idle == size.open
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_broke_is_replaced() {
    let database = open(8).await;
    // Several are open.
    let sleep = || ask::<i32>(&database, "SELECT pg_backend_pid() FROM pg_sleep(0.1)");
    let (first, second) = tokio::join!(sleep(), sleep());
    assert_ne!(first.unwrap(), second.unwrap());
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    assert!(ask::<bool>(&database, end).await.unwrap());
    eventually("it answers for good", async || {
        let (one, other) = tokio::join!(process(&database), process(&database));
        for error in [&one, &other]
            .into_iter()
            .filter_map(|answer| answer.as_ref().err())
        {
            assert!(database::is_transient(error), "{error}");
        }
        one.is_ok() && other.is_ok()
    })
    .await;
}

#[tokio::test]
async fn statements_leave_connections_to_transactions() {
    let database = open(2).await;
    let statements = async {
        let sleep = || ask::<i32>(&database, "SELECT 1 FROM pg_sleep(0.1)");
        tokio::try_join!(sleep(), sleep(), sleep()).unwrap();
    };
    let transaction = async {
        let transaction = database::begin(&database).await.unwrap();
        // Others wait for their turn meanwhile, and not for this one.
        let slow = "SELECT pg_backend_pid() FROM pg_sleep(0.5)";
        let process = ask::<i32>(&transaction, slow).await.unwrap();
        transaction.commit().await.unwrap();
        process
    };
    let ((), process_of_transaction) = tokio::join!(statements, transaction);
    assert_ne!(process(&database).await.unwrap(), process_of_transaction);
}

#[tokio::test]
async fn one_connection_is_enough() {
    let database = open(1).await;
    let transaction = database::begin(&database).await.unwrap();
    let first = process(&transaction).await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(process(&database).await.unwrap(), first);
}
