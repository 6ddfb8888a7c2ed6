//! Subscriptions: what an open one takes, what opening one costs, and what an event costs.

use std::{collections::HashMap, time::Duration};

use sea_orm::DatabaseConnection;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::{
    http::{self, Connection},
    listeners::{self, Listeners},
    process::{Recipe, Server},
    seed::{self, Driver, Person},
    servers::{self, bare, gateway, peer},
    table::{self, median, percentile},
    upstream::Upstream,
};

const SOCKETS: usize = 10_000;
/// Many, because all ten thousand open in about half a second.
const ROUNDS: usize = 9;
/// Events to each socket in a round.
const EVENTS: usize = 5;
const PAUSE: Duration = Duration::from_millis(500);
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
    let people = seed::people(&database, SOCKETS).await;
    let elsewhere = Driver::Elsewhere(Uuid::new_v4());
    seed::operations(&database, &people, elsewhere).await;

    let people = match follow {
        Follow::Own => people,
        Follow::One => vec![people[0].clone(); SOCKETS],
    };
    let recipes = servers::named(vec![
        bare("bare", ""),
        gateway("gateway", &url, upstream.url()).env("MAX_USER_STREAMS", "20000"),
        peer("yoga", &url, upstream.url()),
        peer("apollo", &url, upstream.url()),
        peer("mercurius", &url, upstream.url()),
    ]);
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
    drop(listeners::open(server.address, 0, &people[..64]).await);
    sleep(PAUSE).await;

    let (cpu, memory, begun) = (server.cpu(), server.memory(), Instant::now());
    let sockets = listeners::open(server.address, 0, people).await;
    let opened = begun.elapsed();
    let open_cpu = server.cpu_since(cpu);

    sleep(PAUSE).await;
    let memory_open = server.memory();

    let cpu = server.cpu();
    let sockets = listeners::subscribe(sockets, people).await;
    let subscribe_cpu = server.cpu_since(cpu);
    assert_eq!(sockets.len(), people.len(), "{} takes all", server.name);
    let mut listeners = Listeners::default();
    for socket in sockets {
        listeners.add(socket);
    }
    // Until what goes on after a subscription, announcements to other replicas say, is over.
    sleep(PAUSE * 4).await;
    let memory_after = server.memory();

    let (mut p99, mut polls) = (Vec::new(), 0);
    // Of all events together: the accounting has steps of 10 ms.
    let cpu = server.cpu();
    for _ in 0..EVENTS {
        polls += 1;
        let event = broadcast(&server, database, people, follow, polls);
        let mut delays = listeners.hear(people.len(), event).await;
        assert_eq!(delays.len(), people.len(), "{} tells all", server.name);
        sleep(PAUSE).await;
        p99.push(percentile(&mut delays, 99));
    }
    let event_micros = micros(server.cpu_since(cpu), people.len() * EVENTS);
    drop(listeners);
    sleep(PAUSE).await;
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
        event_micros,
        p99: median(p99),
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
    listeners::tell_of_polls(database, &operations, polls).await;
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
