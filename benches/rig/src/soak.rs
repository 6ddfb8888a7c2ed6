//! A long run in a short time: users who connect, follow, read and disconnect without a pause, while
//! Intuned answers and is polled ten times as fast as in life. Memory and descriptors must stay flat.

use std::{env, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::{
    http::{self, Connection},
    seed::{self, Person},
    servers::gateway,
    socket::Socket,
    table::{self, median},
    upstream::Upstream,
};

const USERS: usize = 200;
const POLL_INTERVAL: &str = "100ms";
const DONE_AFTER: Duration = Duration::from_millis(250);
const SAMPLE: Duration = Duration::from_millis(500);
const CONNECT: &str = "mutation Connect($input: ConnectOrangeHrmInput!) { \
    connectOrangeHrm(input: $input) { operation { id } } }";
const FOLLOW: &str = "subscription Follow($id: ID!) { operationStatus(operationId: $id) { \
    kind status operation { id } } }";
const ME: &str = "{ me { email connection { id connectedAt status } } }";
const DISCONNECT: &str = "mutation { disconnectOrangeHrm { disconnected } }";

pub(crate) async fn run() {
    let seconds = env::args().nth(2).and_then(|text| text.parse().ok());
    let duration = Duration::from_secs(seconds.unwrap_or(60));
    let upstream = Upstream::start().await;
    upstream.done_after(DONE_AFTER);
    let url = seed::postgres("bench_soak").await;
    let people = seed::people(&seed::open(&url).await, USERS).await;
    let server = gateway("gateway", &url, upstream.url())
        .env("INTUNED_POLL_INTERVAL", POLL_INTERVAL)
        .start()
        .await;

    let begun = Instant::now();
    let deadline = begun + duration;
    let mut users = JoinSet::new();
    for person in people {
        let (address, upstream) = (server.address, Arc::new(upstream.clone()));
        users.spawn(async move {
            let mut rounds = 0_u64;
            while Instant::now() < deadline {
                upstream.forget(person.operation);
                sign_in_once(address, &person).await;
                rounds += 1;
            }
            rounds
        });
    }
    let mut samples = Vec::new();
    while Instant::now() < deadline {
        #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
        samples.push((
            server.resident() as f64 / 1024.0 / 1024.0,
            server.descriptors() as f64,
        ));
        sleep(SAMPLE).await;
    }
    let rounds: u64 = users.join_all().await.into_iter().sum();
    report(begun.elapsed(), rounds, &samples);
    server.stop().await;
}

/// Connects, follows to the end, reads, and disconnects.
async fn sign_in_once(address: std::net::SocketAddr, person: &Person) {
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

fn report(elapsed: Duration, rounds: u64, samples: &[(f64, f64)]) {
    // The first fifth fills pools and caches.
    let settled = &samples[samples.len() / 5..];
    let (early, late) = settled.split_at(settled.len() / 2);
    let middle = |samples: &[(f64, f64)], value: fn(&(f64, f64)) -> f64| {
        median(samples.iter().map(value).collect())
    };
    let row = |what: &str, samples: &[(f64, f64)]| {
        vec![
            what.to_owned(),
            format!("{:.1}", middle(samples, |sample| sample.0)),
            format!("{:.0}", middle(samples, |sample| sample.1)),
        ]
    };
    println!(
        "{rounds} sign-ins from beginning to end in {:.0} s",
        elapsed.as_secs_f64()
    );
    let header = ["soak", "MiB resident", "descriptors"];
    table::print(
        &header,
        &[row("first half", early), row("second half", late)],
    );
    let growth = |value| middle(late, value) / middle(early, value);
    table::at_most("growth of memory", growth(|sample| sample.0), 1.05);
    table::at_most("growth of descriptors", growth(|sample| sample.1), 1.05);
}
