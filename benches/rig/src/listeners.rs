//! Sockets by the thousand: opened and subscribed some at a time, and left to wait for events.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DbBackend, Statement};
use serde_json::{Value, json};
use tokio::{
    sync::Notify,
    task::{JoinError, JoinSet},
    time::{Instant, timeout},
};
use uuid::Uuid;

use crate::{seed::Person, socket::Socket};

/// Sockets that are being opened, or subscribed, at the same time.
const AT_ONCE: usize = 64;
const PATIENCE: Duration = Duration::from_secs(30);
const CHANNEL: &str = "intuned_gateway_operations";
/// How many operations one notification tells of: what fits into 8,000 bytes.
const IN_A_NOTE: usize = 170;
const SUBSCRIPTION: &str = "subscription Follow($id: ID!) { operationStatus(operationId: $id) { \
    kind sequence status message polls elapsedMs operation { id status } } }";

/// A socket, and which of the people it is for.
pub(crate) type Opened = (usize, Socket);

/// A socket for each of the people, from addresses for the numbers from `first` on.
pub(crate) async fn open(address: SocketAddr, first: usize, people: &[Person]) -> Vec<Opened> {
    let opening = people.iter().enumerate().map(|(number, person)| {
        let token = person.token.clone();
        async move {
            let socket = Socket::open(address, first + number, &token).await?;
            Ok((number, socket))
        }
    });
    let mut opened = Vec::with_capacity(people.len());
    each(opening, |socket| opened.push(socket)).await;
    opened
}

/// Subscribes each socket and waits for its first event.
pub(crate) async fn subscribe(sockets: Vec<Opened>, people: &[Person]) -> Vec<Socket> {
    let mut subscribed = Vec::with_capacity(sockets.len());
    let subscribing = sockets.into_iter().map(|(number, mut socket)| {
        let message = follow(people[number].operation);
        async move {
            socket.subscribe(&message).await?;
            Ok(socket)
        }
    });
    each(subscribing, |socket| subscribed.push(socket)).await;
    subscribed
}

/// The message that follows the operation.
pub(crate) fn follow(operation: Uuid) -> String {
    subscribe_message(SUBSCRIPTION, &json!({ "id": operation }))
}

pub(crate) fn subscribe_message(query: &str, variables: &Value) -> String {
    let payload = json!({ "query": query, "variables": variables });
    json!({ "id": "1", "type": "subscribe", "payload": payload }).to_string()
}

/// Does all of it, some at a time, and has what is done taken away at once. What fails is told of.
pub(crate) async fn each<T, F>(works: impl Iterator<Item = F>, mut take: impl FnMut(T))
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let mut take = |done: Result<io::Result<T>, JoinError>| match done.unwrap() {
        Ok(done) => take(done),
        Err(error) => eprintln!("a socket: {error}"),
    };
    let mut tasks = JoinSet::new();
    for work in works {
        tasks.spawn(work);
        if tasks.len() == AT_ONCE
            && let Some(done) = tasks.join_next().await
        {
            take(done);
        }
    }
    while let Some(done) = tasks.join_next().await {
        take(done);
    }
}

/// Sockets that wait for events.
#[derive(Debug, Default)]
pub(crate) struct Listeners {
    heard: Arc<Heard>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Heard {
    at: Mutex<Vec<Instant>>,
    more: Notify,
}

impl Listeners {
    /// One more, which is listened to from now on: it answers signs of life, too.
    pub(crate) fn add(&mut self, mut socket: Socket) {
        let heard = Arc::clone(&self.heard);
        self.tasks.spawn(async move {
            while socket.receive().await.is_ok() {
                let now = Instant::now();
                heard.at.lock().unwrap().push(now);
                heard.more.notify_one();
            }
        });
    }

    /// How many of the sockets the server has not ended.
    pub(crate) fn open(&mut self) -> usize {
        while self.tasks.try_join_next().is_some() {}
        self.tasks.len()
    }

    /// How many milliseconds after `cause` each of `count` events was heard; fewer when they do not all
    /// come in half a minute.
    pub(crate) async fn hear(&self, count: usize, cause: impl Future<Output = ()>) -> Vec<f64> {
        self.heard.at.lock().unwrap().clear();
        let begun = Instant::now();
        let all = async {
            while self.heard.at.lock().unwrap().len() < count {
                self.heard.more.notified().await;
            }
        };
        timeout(PATIENCE, async { tokio::join!(all, cause) })
            .await
            .ok();
        let heard = self.heard.at.lock().unwrap();
        heard
            .iter()
            .map(|at| (*at - begun).as_secs_f64() * 1000.0)
            .collect()
    }
}

/// Tells replicas of polls as they tell each other: by notifications of Postgres's, many operations to
/// one. Each follower gets an event.
pub(crate) async fn tell_of_polls(database: &DatabaseConnection, operations: &[Uuid], polls: i32) {
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
