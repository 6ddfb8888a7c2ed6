//! What an open socket costs while nothing happens, and what it costs that a client comes back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{task::JoinSet, time::sleep};
use uuid::Uuid;

use crate::{
    database_server::DatabaseServer,
    listeners::{self, Opened},
    process::Server,
    seed::{self, Driver, Person},
    servers::gateway,
    socket::Socket,
    table,
    upstream::Upstream,
};

const SOCKETS: usize = 10_000;
/// Pause between two signs of life that a socket is asked for. A busy machine answers within it.
const KEEP_ALIVE: &str = "5s";
const NEVER: &str = "1h";
/// Several times that.
const MEASURE: Duration = Duration::from_secs(30);
/// Until what goes on after opening is over.
const SETTLE: Duration = Duration::from_secs(3);
const COME_BACK: &str = "subscription Follow($id: ID!, $after: Int) { \
    operationStatus(operationId: $id, afterSequence: $after) { \
    kind sequence status message polls elapsedMs operation { id status } } }";

/// Microseconds for each.
struct Cost {
    gateway: f64,
    database: f64,
}

pub(crate) async fn run() {
    let upstream = Upstream::start().await;
    let url = seed::postgres("bench_unit").await;
    let tables = seed::open(&url).await;
    let people = seed::people(&tables, SOCKETS).await;
    seed::operations(&tables, &people, Driver::Elsewhere(Uuid::new_v4())).await;
    let database = DatabaseServer::find().await;
    let start = async |keep_alive| {
        let server = gateway("gateway", &url, upstream.url());
        let server = server.env("KEEP_ALIVE", keep_alive).start().await;
        // Some of each, so that what is made once is made.
        let few = &people[..64];
        let sockets = listeners::open(server.address, 0, few).await;
        drop(listeners::subscribe(sockets, few).await);
        sleep(SETTLE).await;
        server
    };
    let mut rows = Vec::new();
    let mut row = |what: &str, cost: &Cost| {
        let (gateway, database) = (cost.gateway, cost.database);
        rows.push(vec![
            what.to_owned(),
            format!("{gateway:.1}"),
            format!("{database:.1}"),
        ]);
    };
    let server = start(NEVER).await;
    let (sockets, cost) = open(&server, database, &people).await;
    row("a socket opened, with its token checked", &cost);
    let quiet = quiet(&server, sockets).await;
    server.stop().await;

    let server = start(KEEP_ALIVE).await;
    row("a ping and its pong", &ping(&server, &people, quiet).await);
    server.stop().await;

    for (what, after) in [
        ("a client that comes back and has missed nothing", 1),
        ("a client that comes back and has missed one change", 0),
    ] {
        let server = start(NEVER).await;
        row(what, &come_back(&server, database, &people, after).await);
        server.stop().await;
    }
    table::print(&["unit", "CPU µs", "of the database server"], &rows);
}

async fn open(server: &Server, database: DatabaseServer, people: &[Person]) -> (Vec<Opened>, Cost) {
    let opening = async {
        let sockets = listeners::open(server.address, 0, people).await;
        assert_eq!(sockets.len(), people.len(), "all are opened");
        sockets
    };
    cost(server, database, people.len(), opening).await
}

/// Seconds of the processor that all sockets together take while nothing happens.
async fn quiet(server: &Server, sockets: Vec<Opened>) -> f64 {
    let cpu = server.cpu();
    sleep(MEASURE).await;
    drop(sockets);
    server.cpu_since(cpu).as_secs_f64()
}

/// What is more than `quiet` when all sockets are asked for signs of life.
async fn ping(server: &Server, people: &[Person], quiet: f64) -> Cost {
    let pings = Arc::<AtomicU64>::default();
    let mut answering = JoinSet::new();
    let opening = people.iter().enumerate().map(|(number, person)| {
        let (address, token) = (server.address, person.token.clone());
        async move { Socket::open(address, number, &token).await }
    });
    let answer = |mut socket: Socket| {
        let pings = Arc::clone(&pings);
        answering.spawn(async move {
            while socket.answer_ping().await.is_ok() {
                pings.fetch_add(1, Ordering::Relaxed);
            }
        });
    };
    listeners::each(opening, answer).await;
    sleep(SETTLE).await;
    pings.store(0, Ordering::Relaxed);
    let cpu = server.cpu();
    sleep(MEASURE).await;
    let cpu = server.cpu_since(cpu).as_secs_f64() - quiet;
    let pings = pings.load(Ordering::Relaxed);
    assert_eq!(answering.len(), people.len(), "all sockets are opened");
    assert!(answering.try_join_next().is_none(), "and stay open");
    #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
    let gateway = cpu * 1e6 / pings as f64;
    Cost {
        gateway,
        database: 0.0,
    }
}

/// A connection, the handshake, the token, and the subscription from where it was left.
async fn come_back(
    server: &Server,
    database: DatabaseServer,
    people: &[Person],
    after: i32,
) -> Cost {
    let coming = people.iter().enumerate().map(|(number, person)| {
        let (address, token) = (server.address, person.token.clone());
        let variables = json!({ "id": person.operation, "after": after });
        let message = listeners::subscribe_message(COME_BACK, &variables);
        async move {
            let mut socket = Socket::open(address, number, &token).await?;
            match after {
                // The first event is the change that was missed.
                0 => socket.subscribe(&message).await?,
                _ => socket.begin(&message).await?,
            }
            Ok(socket)
        }
    });
    let mut sockets = Vec::new();
    let all = listeners::each(coming, |socket| sockets.push(socket));
    let ((), cost) = cost(server, database, people.len(), all).await;
    assert_eq!(sockets.len(), people.len(), "all come back");
    cost
}

/// What each of `count` costs, with what follows.
async fn cost<T>(
    server: &Server,
    database: DatabaseServer,
    count: usize,
    work: impl Future<Output = T>,
) -> (T, Cost) {
    let before = (server.cpu(), database.cpu());
    let done = work.await;
    sleep(SETTLE).await;
    #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
    let each = |cpu: Duration| cpu.as_secs_f64() * 1e6 / count as f64;
    let cost = Cost {
        gateway: each(server.cpu_since(before.0)),
        database: each(database.cpu_since(before.1)),
    };
    (done, cost)
}
