//! A thousand users who connect within a second, for the first time or again, and how soon they hear of
//! the end.

use std::{collections::HashMap, sync::Arc, time::Duration};

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    http::{self, Connection},
    process::Server,
    seed::{self, Person},
    servers::gateway,
    socket::Socket,
    table::{self, percentile},
    upstream::Upstream,
};

const USERS: usize = 1000;
const WITHIN: Duration = Duration::from_secs(1);
/// After which Intuned tells that a sign-in is done.
const DONE_AFTER: Duration = Duration::from_secs(3);
const CONNECT: &str = "mutation Connect($input: ConnectOrangeHrmInput!) { \
    connectOrangeHrm(input: $input) { operation { id } } }";
const FOLLOW: &str = "subscription Follow($id: ID!) { operationStatus(operationId: $id) { \
    kind status operation { id } } }";

pub(crate) async fn run() {
    let mut rows = Vec::new();
    let mut verdicts = Vec::new();
    for database in ["Postgres", "SQLite"] {
        let directory = TempDir::new().unwrap();
        let url = match database {
            "Postgres" => seed::postgres("bench_burst").await,
            _ => format!(
                "sqlite://{}/bench.sqlite?mode=rwc",
                directory.path().display()
            ),
        };
        let people = {
            let database = seed::open(&url).await;
            let people = seed::people(&database, USERS * 3).await;
            seed::disconnect(&database, &people[..USERS]).await;
            people
        };
        let (first, others) = people.split_at(USERS);
        let (again, warm_up) = others.split_at(USERS);
        let upstream = Upstream::start().await;
        upstream.done_after(DONE_AFTER);
        let server = gateway("gateway", &url, upstream.url()).start().await;
        burst(&server, &upstream, warm_up).await;
        for (kind, people) in [("first", first), ("again", again)] {
            let cpu = server.cpu();
            let mut measured = burst(&server, &upstream, people).await;
            let cpu = server.cpu_since(cpu);
            let accepted = percentile(&mut measured.answered, 99);
            let heard = percentile(&mut measured.heard, 99);
            #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
            let cpu_each = cpu.as_secs_f64() * 1e6 / USERS as f64;
            let name = format!("{database}, {kind}");
            rows.push(vec![
                name.clone(),
                measured.answered.len().to_string(),
                format!("{:.1}", percentile(&mut measured.answered, 50)),
                format!("{accepted:.1}"),
                format!("{heard:.1}"),
                format!("{cpu_each:.0}"),
            ]);
            verdicts.push((name, accepted, heard));
        }
    }
    let header = [
        "1,000 connectOrangeHrm in a second",
        "accepted",
        "median of the answer, ms",
        "p99 of the answer, ms",
        "p99 from Intuned's telling of the end to the follower's event, ms",
        "CPU µs for all of one sign-in",
    ];
    table::print(&header, &rows);
    for (name, accepted, heard) in verdicts {
        table::at_most(&format!("p99 of the answer on {name}, ms"), accepted, 100.0);
        table::at_most(
            &format!("p99 from Intuned to the follower on {name}, ms"),
            heard,
            10.0,
        );
    }
}

#[derive(Default)]
struct Measured {
    /// Milliseconds from each request to its answer.
    answered: Vec<f64>,
    /// Milliseconds from the poll that told of the end to the follower's event.
    heard: Vec<f64>,
}

async fn burst(server: &Server, upstream: &Upstream, people: &[Person]) -> Measured {
    let mut sockets = HashMap::new();
    for (number, person) in people.iter().enumerate() {
        let socket = Socket::open(server.address, number, &person.token).await;
        let connection = Connection::open(server.address, 0).await.unwrap();
        sockets.insert(number, (socket.unwrap(), connection));
    }
    let begun = Instant::now() + Duration::from_millis(100);
    let upstream = Arc::new(upstream.clone());
    let mut tasks = JoinSet::new();
    for (number, person) in people.iter().enumerate() {
        let (mut socket, mut connection) = sockets.remove(&number).unwrap();
        let number = u32::try_from(number).unwrap();
        let due = begun + WITHIN * number / u32::try_from(people.len()).unwrap();
        let request = connect(person);
        let (upstream, key) = (Arc::clone(&upstream), person.operation);
        tasks.spawn(async move {
            sleep_until(due).await;
            let answer = connection.exchange(&request).await.unwrap();
            let answered = due.elapsed();
            let answer: Value = serde_json::from_slice(&answer.body).unwrap();
            let id = answer["data"]["connectOrangeHrm"]["operation"]["id"].as_str();
            let id = id.unwrap_or_else(|| panic!("not accepted: {answer}"));
            let payload = json!({ "query": FOLLOW, "variables": { "id": id } });
            let message = json!({ "id": "1", "type": "subscribe", "payload": payload });
            socket.subscribe(&message.to_string()).await.unwrap();
            loop {
                let event = socket.receive().await.unwrap();
                if event.contains(r#""status":"DONE""#) {
                    let told = upstream.told_done(key).expect("a poll that told");
                    return (answered, told.elapsed());
                }
            }
        });
    }
    let mut measured = Measured::default();
    for (answered, heard) in tasks.join_all().await {
        measured.answered.push(answered.as_secs_f64() * 1000.0);
        measured.heard.push(heard.as_secs_f64() * 1000.0);
    }
    measured
}

fn connect(person: &Person) -> bytes::Bytes {
    let input = json!({ "username": person.operation, "password": "password" });
    let body = json!({ "query": CONNECT, "variables": { "input": input } }).to_string();
    let authorization = format!("Bearer {}", person.token);
    http::post("/graphql", &[("authorization", &authorization)], &body)
}
