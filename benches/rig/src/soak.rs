//! A day in minutes: users who connect, follow, read and disconnect without a pause, while Intuned
//! answers and is polled a hundred times as fast as in life, until there were as many sign-ins as in a
//! day. Memory and descriptors must stay flat.

use std::{
    env,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    http::{self, Connection},
    process::Server,
    seed::{self, Person},
    servers::gateway,
    socket::Socket,
    table::{self, median},
    upstream::Upstream,
};

const USERS: usize = 200;
/// Unless told otherwise.
const SIGN_INS_AN_HOUR: usize = 1000;
const POLL_INTERVAL: &str = "10ms";
const DONE_AFTER: Duration = Duration::from_millis(25);
const SAMPLE: Duration = Duration::from_millis(250);
/// Until all that users had open is closed, and the connections to Intuned that were open for them: those
/// are kept for half a minute, and looked for as often.
const REST: Duration = Duration::from_secs(65);
const CONNECT: &str = "mutation Connect($input: ConnectOrangeHrmInput!) { \
    connectOrangeHrm(input: $input) { operation { id } } }";
const FOLLOW: &str = "subscription Follow($id: ID!) { operationStatus(operationId: $id) { \
    kind status operation { id } } }";
const ME: &str = "{ me { email connection { id connectedAt status } } }";
const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";

/// The gateway at one moment.
#[derive(Clone, Copy, Debug)]
struct Look {
    mib: f64,
    descriptors: f64,
}

/// A third of the day.
#[derive(Debug)]
struct Third {
    busy: Vec<Look>,
    /// After it, with nobody there.
    rest: Look,
}

pub(crate) async fn run() {
    let an_hour = env::args().nth(2).and_then(|text| text.parse().ok());
    let an_hour: usize = an_hour.unwrap_or(SIGN_INS_AN_HOUR);
    let upstream = Upstream::start().await;
    upstream.done_after(DONE_AFTER);
    let url = seed::postgres("bench_soak").await;
    let people: Arc<[Person]> = seed::people(&seed::open(&url).await, USERS).await.into();
    let server = gateway("gateway", &url, upstream.url())
        .env("INTUNED_POLL_INTERVAL", POLL_INTERVAL)
        .start()
        .await;
    let begun = Instant::now();
    let mut thirds = Vec::new();
    // The first third fills pools and caches.
    for _ in 0..3 {
        let left = Arc::new(AtomicUsize::new(an_hour * 24 / 3));
        let mut users = JoinSet::new();
        for number in 0..people.len() {
            let (people, left) = (Arc::clone(&people), Arc::clone(&left));
            let (address, upstream) = (server.address, upstream.clone());
            users.spawn(async move {
                while take(&left) {
                    upstream.forget(people[number].operation);
                    sign_in_once(address, &people[number]).await;
                }
            });
        }
        let mut busy = Vec::new();
        while left.load(Ordering::Relaxed) > 0 {
            busy.push(Look::at(&server));
            sleep(SAMPLE).await;
        }
        users.join_all().await;
        sleep(REST).await;
        let rest = Look::at(&server);
        thirds.push(Third { busy, rest });
    }
    report(an_hour, begun.elapsed(), &thirds);
    server.stop().await;
}

impl Look {
    #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
    fn at(server: &Server) -> Self {
        Self {
            mib: server.resident() as f64 / 1024.0 / 1024.0,
            descriptors: server.descriptors() as f64,
        }
    }
}

/// Whether there was one left.
fn take(left: &AtomicUsize) -> bool {
    let one_less = |left: usize| left.checked_sub(1);
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
        .is_ok()
}

/// Connects, follows to the end, reads, and disconnects.
async fn sign_in_once(address: SocketAddr, person: &Person) {
    let mut connection = Connection::open(address, 0).await.unwrap();
    let input = json!({ "username": person.operation, "password": "password" });
    let answer = ask(&mut connection, person, CONNECT, &json!({ "input": input })).await;
    let id = answer["data"]["connectOrangeHrm"]["operation"]["id"].as_str();
    let id = id.unwrap_or_else(|| panic!("not accepted: {answer}"));

    let mut socket = Socket::open(address, 0, &person.token).await.unwrap();
    let payload = json!({ "query": FOLLOW, "variables": { "id": id } });
    let message = json!({ "id": "1", "type": "subscribe", "payload": payload });
    socket.subscribe(&message.to_string()).await.unwrap();
    while !socket
        .receive()
        .await
        .unwrap()
        .contains(r#""type":"complete""#)
    {}

    let answer = ask(&mut connection, person, ME, &Value::Null).await;
    assert_eq!(
        answer["data"]["me"]["connection"]["status"], "READY",
        "{answer}"
    );
    let answer = ask(&mut connection, person, DISCONNECT, &Value::Null).await;
    assert_eq!(
        answer["data"]["disconnectOrangeHrm"]["disconnected"], true,
        "{answer}"
    );
}

async fn ask(
    connection: &mut Connection,
    person: &Person,
    query: &str,
    variables: &Value,
) -> Value {
    let body = json!({ "query": query, "variables": variables }).to_string();
    let authorization = format!("Bearer {}", person.token);
    let request: Bytes = http::post("/graphql", &[("authorization", &authorization)], &body);
    let answer = connection.exchange(&request).await.unwrap();
    serde_json::from_slice(&answer.body).unwrap()
}

impl Third {
    fn middle(&self, value: fn(&Look) -> f64) -> f64 {
        median(self.busy.iter().map(value).collect())
    }

    fn peak(&self, value: fn(&Look) -> f64) -> f64 {
        self.busy.iter().map(value).fold(0.0, f64::max)
    }
}

fn report(an_hour: usize, elapsed: Duration, thirds: &[Third]) {
    println!(
        "A day of {an_hour} sign-ins an hour, {} from beginning to end, shortened to {:.0} s",
        an_hour * 24,
        elapsed.as_secs_f64()
    );
    let rows: Vec<_> = ["first", "second", "last"]
        .iter()
        .zip(thirds)
        .map(|(name, third)| {
            vec![
                format!("{name} third"),
                format!("{:.1}", third.middle(|look| look.mib)),
                format!("{:.1}", third.peak(|look| look.mib)),
                format!("{:.1}", third.rest.mib),
                format!("{:.0}", third.middle(|look| look.descriptors)),
                format!("{:.0}", third.peak(|look| look.descriptors)),
                format!("{:.0}", third.rest.descriptors),
            ]
        })
        .collect();
    let header = [
        "soak",
        "MiB resident, median",
        "peak",
        "at rest",
        "descriptors, median",
        "peak",
        "at rest",
    ];
    table::print(&header, &rows);
    let [_, second, last] = thirds else { return };
    let judge = |what: &str, value: fn(&Third) -> f64| {
        let growth = value(last) / value(second);
        table::at_most(&format!("growth of {what}"), growth, 1.05);
    };
    judge("memory, median", |third| third.middle(|look| look.mib));
    judge("memory, peak", |third| third.peak(|look| look.mib));
    judge("memory, at rest", |third| third.rest.mib);
    // Their median is of what users happen to have open.
    judge("descriptors, peak", |third| {
        third.peak(|look| look.descriptors)
    });
    judge("descriptors, at rest", |third| third.rest.descriptors);
}
