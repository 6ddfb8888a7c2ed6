//! How many commits with a NOTIFY PostgreSQL takes in a second, beside the same commits without: while
//! one that notifies is at it, others that want to wait.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, postgres::PgListener};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, sleep_until},
};

use crate::{database_server::DatabaseServer, seed, table};

const WRITERS: [i32; 4] = [1, 4, 16, 64];
/// As many as there would be replicas.
const LISTENERS: usize = 2;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURE: Duration = Duration::from_secs(3);
const UPDATE: &str = "UPDATE counts SET sequence = sequence + 1 WHERE id = $1";
/// In the same transaction; as long as what replicas tell each other of a change.
const UPDATE_AND_NOTIFY: &str = "WITH changed AS \
    (UPDATE counts SET sequence = sequence + 1 WHERE id = $1 RETURNING sequence) \
    SELECT pg_notify('bench', concat('changed ', repeat('0', 32), ' ', repeat('1', 32), ' ', sequence)) \
    FROM changed";

pub(crate) async fn run() {
    let url = seed::postgres("bench_notify").await;
    let mut tables = PgConnection::connect(&url).await.unwrap();
    // Pages with room: an update finds a place on its row's own.
    let create =
        "CREATE TABLE counts (id int PRIMARY KEY, sequence int NOT NULL) WITH (fillfactor = 50)";
    tables.execute(create).await.unwrap();
    let insert = "INSERT INTO counts SELECT id, 0 FROM generate_series(1, 64) AS id";
    tables.execute(insert).await.unwrap();
    let database = DatabaseServer::find().await;
    let mut listeners = JoinSet::new();
    for _ in 0..LISTENERS {
        let mut listener = PgListener::connect(&url).await.unwrap();
        listener.listen("bench").await.unwrap();
        listeners.spawn(async move { while listener.recv().await.is_ok() {} });
    }
    let mut rows = Vec::new();
    for (storage, durable) in [("takes no time", "off"), ("of this machine", "on")] {
        make_durable(&mut tables, &url, durable).await;
        for writers in WRITERS {
            let (alone, alone_micros) = measure(&url, database, writers, UPDATE).await;
            let (notified, micros) = measure(&url, database, writers, UPDATE_AND_NOTIFY).await;
            rows.push(vec![
                storage.to_owned(),
                writers.to_string(),
                format!("{alone:.0}"),
                format!("{alone_micros:.0}"),
                format!("{notified:.0}"),
                format!("{micros:.0}"),
                format!("{:.2}", notified / alone),
            ]);
        }
    }
    let header = [
        "storage",
        "writers",
        "UPDATE, commits/s",
        "CPU µs of the database server",
        "UPDATE and NOTIFY, commits/s",
        "CPU µs of the database server",
        "share",
    ];
    table::print(&header, &rows);
}

/// Whether a commit waits until it is on the disk, from now on.
async fn make_durable(tables: &mut PgConnection, url: &str, durable: &str) {
    for setting in ["fsync", "synchronous_commit", "full_page_writes"] {
        let statement = format!("ALTER SYSTEM SET {setting} = {durable}");
        tables.execute(AssertSqlSafe(statement)).await.unwrap();
    }
    tables.execute("SELECT pg_reload_conf()").await.unwrap();
    loop {
        let mut fresh = PgConnection::connect(url).await.unwrap();
        let setting: String = sqlx::query_scalar("SHOW synchronous_commit")
            .fetch_one(&mut fresh)
            .await
            .unwrap();
        if setting == durable {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// Commits in a second, and the database server's time on the processor for each.
async fn measure(
    url: &str,
    database: DatabaseServer,
    writers: i32,
    statement: &'static str,
) -> (f64, f64) {
    let mut connections = Vec::new();
    for _ in 0..writers {
        connections.push(PgConnection::connect(url).await.unwrap());
    }
    let start = Instant::now() + WARM_UP;
    let end = start + MEASURE;
    let mut writing = JoinSet::new();
    for (id, mut connection) in (1..).zip(connections) {
        writing.spawn(async move {
            let mut commits = 0_u32;
            while Instant::now() < end {
                let update = sqlx::query(statement).bind(id);
                update.execute(&mut connection).await.unwrap();
                commits += u32::from(Instant::now() > start);
            }
            commits
        });
    }
    sleep_until(start).await;
    let (cpu, begun) = (database.cpu(), Instant::now());
    let commits: u32 = writing.join_all().await.into_iter().sum();
    let (cpu, elapsed) = (database.cpu_since(cpu), begun.elapsed());
    let commits = f64::from(commits);
    (
        commits / elapsed.as_secs_f64(),
        cpu.as_secs_f64() * 1e6 / commits,
    )
}
