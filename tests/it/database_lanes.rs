//! Connections that serve statement after statement, and plans that are kept with them.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::{future::join_all, poll};
use intuned_gateway::platform::database::{self, Database};
use rstest::rstest;
use sea_orm::{
    ConnectionTrait, DbBackend, DbErr, Statement,
    sea_query::{PostgresQueryBuilder, Query},
};
use secrecy::ExposeSecret;
use tokio::{
    sync::mpsc,
    task::{JoinSet, yield_now},
    time::timeout,
};

use crate::support::{Backend, Proxy, TestDatabase, eventually, socket::DEADLINE, waiting};

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
    all_idle(&database).await;
}

/// Waits until no place in the pool is taken.
async fn all_idle(database: &Database) {
    eventually("all are idle again", async || {
        let size = database.size();
        size.idle == size.open
    })
    .await;
}

/// Whoever began has gone by the time that anybody could know.
#[rstest]
#[tokio::test]
async fn a_transaction_that_a_silent_server_does_not_begin_gives_its_place_back(
    #[values(1, 4)] connections: u32,
) {
    let created = TestDatabase::create(Backend::Postgres).await;
    let url = created.url.expose_secret().parse().unwrap();
    let (proxy, url) = Proxy::before(&url).await;
    let url = url.as_str().into();
    let database = database::connect(&url, connections).await.unwrap();
    let mut begun = Ok(database::begin(&database).await);
    // Until its connection is one that stood when the server fell silent.
    while let Ok(transaction) = begun {
        transaction.unwrap().rollback().await.unwrap();
        all_idle(&database).await;
        proxy.silence();
        begun = timeout(Duration::from_millis(500), database::begin(&database)).await;
    }
    all_idle(&database).await;
    let begun = database::begin(&database).await.unwrap();
    begun.rollback().await.unwrap();
    timeout(DEADLINE, database.close()).await.unwrap().unwrap();
}

#[tokio::test]
async fn when_the_server_ends_connections_one_statement_finds_out() {
    let database = open(8).await;
    let slow = || ask::<i32>(&database, "SELECT pg_backend_pid() FROM pg_sleep(0.05)");
    let (one, other) = tokio::join!(slow(), slow());
    assert_ne!(one.unwrap(), other.unwrap());
    let end = "SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let server = database::begin(&database).await.unwrap();
    assert!(ask::<i64>(&server, end).await.unwrap() > 0);
    server.commit().await.unwrap();

    let error = process(&database).await.unwrap_err();
    assert!(database::is_transient(&error), "{error}");
    for _ in 0..3 {
        process(&database).await.unwrap();
    }
}

#[tokio::test]
async fn statements_leave_connections_to_transactions() {
    let created = TestDatabase::create(Backend::Postgres).await;
    let database = database::connect(&created.url, 2).await.unwrap();
    let watching = database::connect(&created.url, 1).await.unwrap();
    let holding = database::connect(&created.url, 1).await.unwrap();
    let lock = database::begin(&holding).await.unwrap();
    ask::<i32>(&lock, "SELECT 1 FROM pg_advisory_xact_lock(1)")
        .await
        .unwrap();
    let waits = || ask::<i32>(&database, "SELECT 1 FROM pg_advisory_xact_lock(1)");
    let transaction = async {
        waiting::<1>(&watching, &[]).await;
        let transaction = database::begin(&database).await.unwrap();
        process(&transaction).await.unwrap();
        transaction.commit().await.unwrap();
        lock.rollback().await.unwrap();
    };
    let (one, other, ()) = tokio::join!(waits(), waits(), transaction);
    one.and(other).unwrap();
}

#[tokio::test]
async fn closing_gives_back_what_is_kept() {
    let database = open(6).await;
    let busy = (0..20).map(|_| async { while process(&database).await.is_ok() {} });
    let close = async {
        process(&database).await.unwrap();
        timeout(DEADLINE, database.clone().close())
            .await
            .unwrap()
            .unwrap();
    };
    tokio::join!(close, join_all(busy));
    assert_eq!(database.size().open, 0);
}

/// Also where the tables were empty when they were analyzed. The plan is kept.
#[rstest]
#[case::in_flight(
    "operations WHERE ended_at IS NULL AND user_id = $1",
    "operations_in_flight"
)]
#[case::of_a_user("operations WHERE user_id = $1", "operations_user_id_idempotency_key")]
#[case::of_a_replica("operations WHERE ended_at IS NULL AND owner = $1", "operations_owner")]
#[case::guarded(
    "operations WHERE id = $1 AND sequence = 1 AND epoch = 1 AND owner IS NOT DISTINCT FROM $1",
    "operations_pkey"
)]
#[case::of_a_session(
    "connections WHERE user_id = $1 AND auth_session_id = 'one'",
    "connections_auth_session_id_service"
)]
#[case::settled(
    "webhook_deliveries WHERE settled_at < $now",
    "webhook_deliveries_settled_at"
)]
#[tokio::test]
async fn statements_go_by_the_index_that_is_theirs(#[case] which: &str, #[case] index: &str) {
    let database = open(2).await;
    database::migrate(&database).await.unwrap();
    database.execute_unprepared("ANALYZE").await.unwrap();
    let now = Query::select().expr(database::clock(&database)).take();
    let now = now.to_string(PostgresQueryBuilder);
    let which = which
        .replace("$1", "'00000000-0000-0000-0000-000000000001'")
        .replace("$now", now.trim_start_matches("SELECT "));
    let explain = format!("EXPLAIN (FORMAT JSON) SELECT * FROM {which}");
    let plan: serde_json::Value = ask(&database, &explain).await.unwrap();
    let plan = &plan[0]["Plan"];
    assert_eq!(plan["Index Name"], index, "{plan:#}");
    assert!(plan["Index Cond"].is_string(), "{plan:#}");
}

/// Statements keep the only connection there is, and let it go when a transaction needs it.
#[rstest]
#[tokio::test]
async fn one_connection_is_enough(#[values(Backend::Sqlite, Backend::Postgres)] backend: Backend) {
    let created = TestDatabase::create(backend).await;
    let database = database::connect(&created.url, 1).await.unwrap();
    let done = AtomicBool::new(false);
    let busy = async {
        while !done.load(Ordering::Relaxed) {
            one(&database).await;
        }
    };
    let transactions = async {
        for _ in 0..50 {
            one(&database).await;
            let transaction = database::begin(&database).await.unwrap();
            one(&transaction).await;
            transaction.commit().await.unwrap();
            database.probe().await.unwrap();
        }
        done.store(true, Ordering::Relaxed);
    };
    let all = async { tokio::join!(busy, transactions) };
    timeout(DEADLINE, all).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn each_has_one_connection_in_its_turn(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
) {
    let created = TestDatabase::create(backend).await;
    let database = database::connect(&created.url, 1).await.unwrap();
    let first = database::begin(&database).await.unwrap();
    let (served, mut turns) = mpsc::unbounded_channel();
    let mut waiting = JoinSet::new();
    for number in 0..20 {
        let (database, served) = (database.clone(), served.clone());
        waiting.spawn(async move {
            if number % 3 == 0 {
                let transaction = database::begin(&database).await.unwrap();
                served.send(number).unwrap();
                transaction.commit().await.unwrap();
            } else {
                one(&database).await;
                served.send(number).unwrap();
            }
        });
        // Until it waits.
        for _ in 0..5 {
            yield_now().await;
        }
    }
    first.commit().await.unwrap();
    timeout(DEADLINE, waiting.join_all()).await.unwrap();
    for number in 0..20 {
        assert_eq!(turns.recv().await, Some(number));
    }
}

/// Or what others write would be part of a transaction that nobody ends.
#[rstest]
#[tokio::test]
async fn a_transaction_that_is_given_up_as_it_begins_is_none(
    #[values(Backend::Sqlite, Backend::Postgres)] backend: Backend,
    #[values(false, true)] has_to_wait: bool,
) {
    let created = TestDatabase::create(backend).await;
    let database = database::connect(&created.url, 1).await.unwrap();
    let sql = "CREATE TABLE written (number INT)";
    database.execute_unprepared(sql).await.unwrap();
    eventually("given back", async || database.size().idle == 1).await;
    let before = if has_to_wait {
        Some(database::begin(&database).await.unwrap())
    } else {
        None
    };
    // It waits for its turn, or has the connection at once and waits for an answer, if not for long.
    let mut begin = Box::pin(database::begin(&database));
    let begun = poll!(&mut begin);
    assert!(begun.is_pending() || !has_to_wait);
    drop((begun, begin));
    if let Some(before) = before {
        before.commit().await.unwrap();
    }
    let insert = "INSERT INTO written VALUES (1)";
    let insert = Statement::from_string(database.get_database_backend(), insert);
    database.execute_raw(insert).await.unwrap();
    let other = database::connect(&created.url, 1).await.unwrap();
    let found = Statement::from_string(other.get_database_backend(), "SELECT 1 FROM written");
    assert!(other.query_one_raw(found).await.unwrap().is_some());
}

async fn one(database: &impl ConnectionTrait) {
    let statement = Statement::from_string(database.get_database_backend(), "SELECT 1");
    database.query_one_raw(statement).await.unwrap().unwrap();
}
