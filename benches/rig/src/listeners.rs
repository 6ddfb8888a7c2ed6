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
    sync::{Notify, Semaphore},
    task::JoinSet,
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
    each(people.iter().enumerate().map(|(number, person)| {
        let token = person.token.clone();
        async move {
            let socket = Socket::open(address, first + number, &token).await?;
            Ok((number, socket))
        }
    }))
    .await
}

/// Subscribes each socket and waits for its first event.
pub(crate) async fn subscribe(sockets: Vec<Opened>, people: &[Person]) -> Vec<Socket> {
    each(sockets.into_iter().map(|(number, mut socket)| {
        let variables = json!({ "id": people[number].operation });
        let message = subscribe_message(SUBSCRIPTION, &variables);
        async move {
            socket.subscribe(&message).await?;
            Ok(socket)
        }
    }))
    .await
}

pub(crate) fn subscribe_message(query: &str, variables: &Value) -> String {
    let payload = json!({ "query": query, "variables": variables });
    json!({ "id": "1", "type": "subscribe", "payload": payload }).to_string()
}

/// Does all of it, some at a time. What fails is told of and left out.
pub(crate) async fn each<T, F>(works: impl Iterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = io::Result<T>> + Send + 'static,
{
    let at_once = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks = JoinSet::new();
    for work in works {
        let permit = Arc::clone(&at_once).acquire_owned().await.unwrap();
        tasks.spawn(async move {
            let done = work.await;
            drop(permit);
            done
        });
    }
    let done = tasks.join_all().await.into_iter();
    done.filter_map(|done| {
        done.inspect_err(|error| eprintln!("a socket: {error}"))
            .ok()
    })
    .collect()
}

/// Sockets that wait for events.
#[derive(Debug)]
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
    pub(crate) fn new(sockets: Vec<Socket>) -> Self {
        let heard = Arc::<Heard>::default();
        let mut tasks = JoinSet::new();
        for mut socket in sockets {
            let heard = Arc::clone(&heard);
            tasks.spawn(async move {
                while socket.receive().await.is_ok() {
                    let now = Instant::now();
                    heard.at.lock().unwrap().push(now);
                    heard.more.notify_one();
                }
            });
        }
        Self { heard, tasks }
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
