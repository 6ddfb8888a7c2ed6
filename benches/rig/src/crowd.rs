//! Thirty thousand sockets with a subscription each, all open at once. Where one process may not have
//! so many descriptors open, as many replicas as it takes share them, and as many processes of this
//! program hold the other ends.

use std::{convert::Infallible, sync::Mutex, time::Duration};

use bytes::Bytes;
use sea_orm::DatabaseConnection;
use tokio::time::{Instant, sleep, timeout};
use uuid::Uuid;

use crate::{
    accounting,
    crowd_report::{Look, Query, Round, report},
    crowd_worker::Workers,
    http::{Connection, FROM_ONE_ADDRESS},
    listeners,
    process::Server,
    reads,
    seed::{self, Driver, Person},
    servers::gateway,
    upstream::Upstream,
};

/// Unless told otherwise.
const SOCKETS: usize = 30_000;
/// Descriptors of a process that are for something else.
const SPARE: usize = 1000;
/// Memory must not grow from one time to the next.
const ROUNDS: usize = 2;
/// More than two of the gateway's signs of life, each of which a socket must answer.
const HOLD: Duration = Duration::from_mins(1);
/// Once that is known.
const HOLD_AGAIN: Duration = Duration::from_secs(5);
/// Until closed connections are gone and freed memory is given back.
const LEAVE: Duration = Duration::from_secs(30);
const BETWEEN_QUERIES: Duration = Duration::from_millis(50);
const LONGEST_QUERY: Duration = Duration::from_secs(10);

pub(crate) async fn run() {
    let count = std::env::args().nth(2).and_then(|text| text.parse().ok());
    let count: usize = count.unwrap_or(SOCKETS);
    let replicas = count.div_ceil(accounting::most_descriptors() - SPARE);
    let upstream = Upstream::start().await;
    let url = seed::postgres("bench_crowd").await;
    let database = seed::open(&url).await;
    let people = seed::people(&database, count).await;
    seed::operations(&database, &people, Driver::Elsewhere(Uuid::new_v4())).await;
    let shares: Vec<&[Person]> = people.chunks(count.div_ceil(replicas)).collect();

    let mut servers = Vec::new();
    for share in &shares {
        let server = gateway("gateway", &url, upstream.url()).start().await;
        // Some of each, so that what is made once is made.
        let few = &share[..share.len().min(64)];
        let sockets = listeners::open(server.address, 0, few).await;
        drop(listeners::subscribe(sockets, few).await);
        servers.push(server);
    }
    sleep(LEAVE).await;
    let rest: Vec<Look> = servers.iter().map(Look::at).collect();
    let requests = reads::requests(
        servers[0].name,
        reads::ME,
        &people[..shares[0].len().min(1000)],
    );
    let mut rounds = Vec::new();
    for number in 0..ROUNDS {
        let queries = Mutex::new(Vec::new());
        let crowd = Crowd {
            servers: &servers,
            shares: &shares,
            database: &database,
        };
        let mut round = tokio::select! {
            round = crowd.gather(number) => round,
            never = ask(&servers, &requests, &queries) => match never {},
        };
        round.queries = queries.into_inner().unwrap();
        rounds.push(round);
    }
    report(count, &rest, &rounds);
}

struct Crowd<'a> {
    servers: &'a [Server],
    /// Who has a socket at each of them.
    shares: &'a [&'a [Person]],
    database: &'a DatabaseConnection,
}

impl Crowd<'_> {
    /// All sockets are opened, subscribed, sent an event, and closed.
    async fn gather(&self, number: usize) -> Round {
        let kernel = accounting::kernel_memory();
        let mut workers = Workers::default();
        for (at, (server, share)) in self.servers.iter().zip(self.shares).enumerate() {
            // From other addresses than the time before, whose ports are not free yet.
            let addresses = share.len().next_multiple_of(FROM_ONE_ADDRESS);
            let first = (number * self.servers.len() + at) * addresses;
            workers.start(server, first, share).await;
        }
        let begun = Instant::now();
        let (opened, subscribed) = workers.come().await;
        let came_after = begun.elapsed();

        let held = Instant::now();
        sleep(if number == 0 { HOLD } else { HOLD_AGAIN }).await;
        let held = (held, Instant::now());
        let with = self.servers.iter().map(Look::at).collect();
        let kernel = accounting::kernel_memory().saturating_sub(kernel);

        workers.listen().await;
        let polls = i32::try_from(number).unwrap() + 1;
        let begun = Instant::now();
        listeners::tell_of_polls(self.database, &self.operations(), polls).await;
        let heard = workers.heard().await;
        let heard_after = begun.elapsed();

        let stayed = workers.close().await;
        sleep(LEAVE).await;
        Round {
            opened,
            subscribed,
            came_after,
            heard,
            heard_after,
            stayed,
            held,
            queries: Vec::new(),
            with,
            kernel,
            after: self.servers.iter().map(Look::at).collect(),
        }
    }

    fn operations(&self) -> Vec<Uuid> {
        let people = self.shares.iter().copied().flatten();
        people.map(|person| person.operation).collect()
    }
}

/// Asks each replica in turn, without end.
async fn ask(servers: &[Server], requests: &[Bytes], queries: &Mutex<Vec<Query>>) -> Infallible {
    let mut number = 0;
    loop {
        number += 1;
        sleep(BETWEEN_QUERIES).await;
        let server = &servers[number % servers.len()];
        let begun = Instant::now();
        let answer = timeout(LONGEST_QUERY, async {
            let mut connection = Connection::open(server.address, 0).await?;
            connection
                .exchange(&requests[number % requests.len()])
                .await
        });
        let answered = matches!(answer.await, Ok(Ok(answer)) if answer.status == 200);
        let after = answered.then(|| begun.elapsed());
        queries.lock().unwrap().push(Query { begun, after });
    }
}
