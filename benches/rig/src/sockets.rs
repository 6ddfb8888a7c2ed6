//! Subscriptions: what an open one takes, what opening one costs, and what an event costs.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use serde_json::json;
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    http::{self, Connection},
    process::{Recipe, Server},
    seed::{self, Driver, Person},
    servers::{bare, gateway, peer},
    socket::Socket,
    table::{self, median, percentile},
    upstream::Upstream,
};

/// Unless told otherwise.
const SOCKETS: usize = 10_000;
/// Sockets that are being opened at the same time.
const OPENING: usize = 64;
const ROUNDS: usize = 3;
/// Events to each socket in a round.
const EVENTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(500);
const CHANNEL: &str = "intuned_gateway_operations";
/// How many operations one notification tells of: what fits into 8,000 bytes.
const IN_A_NOTE: usize = 170;
const SUBSCRIPTION: &str = "subscription Follow($id: ID!) { operationStatus(operationId: $id) { \
    kind sequence status message polls elapsedMs operation { id status } } }";

/// What the sockets follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follow {
    /// Each its own operation.
    Own,
    /// All of them the same.
    One,
}

/// What was measured on one server in one round.
#[derive(Clone, Debug, Default)]
struct Measured {
    /// Of a socket that is open and does nothing yet.
    kib_open: f64,
    /// Of one with its subscription.
    kib_each: f64,
    open_micros: f64,
    open_rate: f64,
    subscribe_micros: f64,
    event_micros: f64,
    /// Until the last but 1% of the sockets had the event, in milliseconds.
    p99: f64,
}

/// Each socket follows an operation of its own.
pub(crate) async fn run() {
    measure_all(Follow::Own).await;
}

/// All sockets follow the same operation.
pub(crate) async fn fanout() {
    measure_all(Follow::One).await;
}

async fn measure_all(follow: Follow) {
    let upstream = Upstream::start().await;
    let url = seed::postgres("bench_sockets").await;
    let database = seed::open(&url).await;
    let count = std::env::args().nth(2).and_then(|text| text.parse().ok());
    let count = count.unwrap_or(SOCKETS);
    let people = seed::people(&database, count).await;
    let elsewhere = Driver::Elsewhere(Uuid::new_v4());
    seed::operations(&database, &people, elsewhere).await;

    let people = match follow {
        Follow::Own => people,
        Follow::One => vec![people[0].clone(); count],
    };
    let recipes = [
        bare("bare", ""),
        gateway("gateway", &url, upstream.url()).env("MAX_USER_STREAMS", "20000"),
        peer("yoga", &url, upstream.url()),
        peer("apollo", &url, upstream.url()),
        peer("mercurius", &url, upstream.url()),
    ];
    let mut rounds: HashMap<&str, Vec<Measured>> = HashMap::new();
    for round in 0..ROUNDS {
        for recipe in &recipes {
            // What the peers take is not what is being worked on: once is enough.
            if round > 0 && recipe.program == "node" {
                continue;
            }
            let measured = measure(recipe, &people, &database, follow).await;
            rounds.entry(recipe.name).or_default().push(measured);
        }
    }
    let names: Vec<_> = recipes.iter().map(|recipe| recipe.name).collect();
    report(follow, &names, &rounds);
}

async fn measure(
    recipe: &Recipe,
    people: &[Person],
    database: &DatabaseConnection,
    follow: Follow,
) -> Measured {
    let server = recipe.start().await;
    // One of each, so that what is made once is made.
    drop(open(&server, &people[..64]).await);
    sleep(PAUSE).await;

    let (cpu, memory, begun) = (server.cpu(), server.memory(), Instant::now());
    let sockets = open(&server, people).await;
    let opened = begun.elapsed();
    let open_cpu = server.cpu_since(cpu);

    sleep(PAUSE).await;
    let memory_open = server.memory();

    let cpu = server.cpu();
    let listeners = subscribe(&server, sockets, people).await;
    let subscribe_cpu = server.cpu_since(cpu);
    // Until what goes on after a subscription, announcements to other replicas say, is over.
    sleep(PAUSE * 4).await;
    let memory_after = server.memory();

    let (mut event_micros, mut p99) = (Vec::new(), Vec::new());
    let mut polls = 0;
    for _ in 0..EVENTS {
        polls += 1;
        let cpu = server.cpu();
        let mut delays = listeners
            .hear(
                people.len(),
                broadcast(&server, database, people, follow, polls),
            )
            .await;
        sleep(PAUSE).await;
        event_micros.push(micros(server.cpu_since(cpu), people.len()));
        p99.push(percentile(&mut delays, 99));
    }
    server.stop().await;
    #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
    let kib_each = |after: u64| after.saturating_sub(memory) as f64 / 1024.0 / people.len() as f64;
    #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
    let open_rate = people.len() as f64 / opened.as_secs_f64();
    Measured {
        kib_open: kib_each(memory_open),
        kib_each: kib_each(memory_after),
        open_micros: micros(open_cpu, people.len()),
        open_rate,
        subscribe_micros: micros(subscribe_cpu, people.len()),
        event_micros: median(event_micros),
        p99: median(p99),
    }
}

/// Opens a socket for each, some at a time.
async fn open(server: &Server, people: &[Person]) -> Vec<Socket> {
    let at_once = Arc::new(Semaphore::new(OPENING));
    let mut opening = JoinSet::new();
    for (number, person) in people.iter().enumerate() {
        let permit = Arc::clone(&at_once).acquire_owned().await.unwrap();
        let (address, token) = (server.address, person.token.clone());
        opening.spawn(async move {
            let socket = Socket::open(address, number, &token).await;
            drop(permit);
            (number, socket.expect("a socket"))
        });
    }
    let mut sockets = opening.join_all().await;
    sockets.sort_by_key(|(number, _)| *number);
    sockets.into_iter().map(|(_, socket)| socket).collect()
}

/// Sockets that wait for events.
struct Listeners {
    server: &'static str,
    heard: Arc<Heard>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Heard {
    at: Mutex<Vec<Instant>>,
    more: Notify,
}

/// Subscribes each socket, some at a time, and leaves them to wait for events.
async fn subscribe(server: &Server, sockets: Vec<Socket>, people: &[Person]) -> Listeners {
    let at_once = Arc::new(Semaphore::new(OPENING));
    let mut subscribing = JoinSet::new();
    for (mut socket, person) in sockets.into_iter().zip(people) {
        let permit = Arc::clone(&at_once).acquire_owned().await.unwrap();
        let payload = json!({ "query": SUBSCRIPTION, "variables": { "id": person.operation } });
        let message = json!({ "id": "1", "type": "subscribe", "payload": payload }).to_string();
        subscribing.spawn(async move {
            socket.subscribe(&message).await.expect("a first event");
            drop(permit);
            socket
        });
    }
    let heard = Arc::<Heard>::default();
    let mut tasks = JoinSet::new();
    for mut socket in subscribing.join_all().await {
        let heard = Arc::clone(&heard);
        tasks.spawn(async move {
            while socket.receive().await.is_ok() {
                let now = Instant::now();
                heard.at.lock().unwrap().push(now);
                heard.more.notify_one();
            }
        });
    }
    Listeners {
        server: server.name,
        heard,
        _tasks: tasks,
    }
}

impl Listeners {
    /// How many milliseconds after `cause` each of `count` events was heard.
    async fn hear(&self, count: usize, cause: impl Future<Output = ()>) -> Vec<f64> {
        self.heard.at.lock().unwrap().clear();
        let begun = Instant::now();
        let all = async {
            while self.heard.at.lock().unwrap().len() < count {
                self.heard.more.notified().await;
            }
        };
        let patience = timeout(Duration::from_secs(30), async { tokio::join!(all, cause) });
        if patience.await.is_err() {
            let heard = self.heard.at.lock().unwrap().len();
            panic!(
                "only {heard} of {count} events of {} were heard",
                self.server
            );
        }
        let heard = self.heard.at.lock().unwrap();
        heard
            .iter()
            .map(|at| (*at - begun).as_secs_f64() * 1000.0)
            .collect()
    }
}

/// Has an event sent to every socket. The gateway gets it as replicas get news of each other's
/// operations: by notifications of Postgres's, many operations to one.
async fn broadcast(
    server: &Server,
    database: &DatabaseConnection,
    people: &[Person],
    follow: Follow,
    polls: i32,
) {
    if server.name != "gateway" {
        let mut connection = Connection::open(server.address, 0).await.unwrap();
        let request = http::post("/broadcast", &[], "{}");
        let answer = connection.exchange(&request).await.unwrap();
        assert_eq!(answer.status, 200, "{} broadcasts", server.name);
        return;
    }
    let operations: Vec<Uuid> = match follow {
        Follow::Own => people.iter().map(|person| person.operation).collect(),
        Follow::One => vec![people[0].operation],
    };
    let notes: Vec<String> = operations
        .chunks(IN_A_NOTE)
        .map(|ids| {
            let polled = ids.iter().map(|id| format!(" {}:{polls}", id.simple()));
            format!("polled{}", polled.collect::<String>())
        })
        .collect();
    let statement = Statement::from_sql_and_values(
        DbBackend::Postgres,
        "SELECT pg_notify($1, note) FROM unnest(string_to_array($2, ',')) AS note",
        [CHANNEL.into(), notes.join(",").into()],
    );
    database.execute_raw(statement).await.unwrap();
}

fn report(follow: Follow, names: &[&str], rounds: &HashMap<&str, Vec<Measured>>) {
    let middle =
        |name: &str, value: fn(&Measured) -> f64| median(rounds[name].iter().map(value).collect());
    let rows: Vec<_> = names
        .iter()
        .map(|name| {
            vec![
                (*name).to_owned(),
                format!("{:.1}", middle(name, |m| m.kib_open)),
                format!("{:.1}", middle(name, |m| m.kib_each)),
                format!("{:.0}", middle(name, |m| m.open_micros)),
                format!("{:.0}", middle(name, |m| m.open_rate)),
                format!("{:.0}", middle(name, |m| m.subscribe_micros)),
                format!("{:.1}", middle(name, |m| m.event_micros)),
                format!("{:.0}", middle(name, |m| m.p99)),
            ]
        })
        .collect();
    let title = match follow {
        Follow::Own => "subscriptions, each to its own operation",
        Follow::One => "subscriptions to one operation",
    };
    let header = [
        title,
        "KiB each when open",
        "KiB each when subscribed",
        "CPU µs to open",
        "opened/s",
        "CPU µs to subscribe",
        "CPU µs an event",
        "p99 of an event to all, ms",
    ];
    table::print(&header, &rows);
    let against_bare = |value| middle("gateway", value) / middle("bare", value);
    match follow {
        Follow::Own => {
            table::at_most("KiB each", middle("gateway", |m| m.kib_each), 10.0);
            let accepted = 1.0 / against_bare(|m| m.open_micros);
            table::at_least("accepted against bare", accepted, 0.8);
            table::at_most(
                "CPU of an event against bare",
                against_bare(|m| m.event_micros),
                1.5,
            );
            table::at_most("p99 of an event against bare", against_bare(|m| m.p99), 1.6);
        }
        Follow::One => {
            table::at_most(
                "CPU of an event against bare",
                against_bare(|m| m.event_micros),
                1.2,
            );
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
fn micros(cpu: Duration, count: usize) -> f64 {
    cpu.as_secs_f64() * 1e6 / count as f64
}
