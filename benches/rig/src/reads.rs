//! Queries over HTTP: what one costs, beside the peers and the limit.

use std::{collections::HashMap, sync::Arc, time::Duration};

use bytes::Bytes;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::{
    database_server::DatabaseServer,
    http::{self, Connection},
    process::{Recipe, Server},
    seed::{self, Person},
    servers::{self, bare, gateway, peer},
    table::{self, median},
    upstream::Upstream,
};

const PEOPLE: usize = 1000;
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 3;
/// What just-in-time compilers need to see.
const WARM_UP: u64 = 10_000;
const WARM_UP_AT_MOST: Duration = Duration::from_secs(20);
const ROUND: Duration = Duration::from_secs(3);

const ON_POSTGRES: &str = "gateway";
const ON_SQLITE: &str = "gateway, SQLite";
const TYPENAME: &str = "{ __typename }";
pub(crate) const ME: &str = "query Me { me { id email connection { id createdAt connectedAt } } }";
const STATUS: &str = "query Status { me { connection { status } } }";

/// The same work for several servers.
struct Work {
    title: &'static str,
    query: &'static str,
    servers: Vec<&'static str>,
    /// What the others are held against.
    limit: &'static str,
}

/// One round with one server, or the middle of several.
#[derive(Clone, Copy, Debug)]
struct Measured {
    /// Of the server that is asked.
    cpu_micros: f64,
    /// Of the database server meanwhile.
    database_micros: f64,
    rate: f64,
}

impl Measured {
    /// What a request costs altogether: SQLite does its work in the server that is asked.
    fn both(&self) -> f64 {
        self.cpu_micros + self.database_micros
    }
}

pub(crate) async fn run() {
    let upstream = Upstream::start().await;
    let url = seed::postgres("bench_reads").await;
    let people = seed::people(&seed::open(&url).await, PEOPLE).await;
    let directory = TempDir::new().unwrap();
    let sqlite = format!("sqlite://{}/bench.sqlite", directory.path().display());
    let sqlite_people = {
        let database = seed::open(&format!("{sqlite}?mode=rwc")).await;
        seed::people(&database, PEOPLE).await
    };

    let mut servers = Vec::new();
    for recipe in servers::named(recipes(&url, &sqlite, upstream.url())) {
        servers.push(recipe.start().await);
    }
    let database = DatabaseServer::find().await;
    for work in works() {
        measure(&work, &servers, database, (&people, &sqlite_people)).await;
    }
    let memory: Vec<_> = servers
        .iter()
        .map(|server| vec![server.name.to_owned(), mib(server.resident())])
        .collect();
    table::print(&["resident after the load", "MiB"], &memory);
}

fn recipes(url: &str, sqlite: &str, upstream: &str) -> Vec<Recipe> {
    let answer = json!({ "data": { "__typename": "Query" } }).to_string();
    vec![
        bare("bare axum", &answer),
        bare("bare axum and sqlx", &answer).env("DATABASE_URL", url),
        gateway(ON_POSTGRES, url, upstream),
        gateway(ON_SQLITE, sqlite, upstream),
        peer("mercurius", url, upstream),
        peer("yoga", url, upstream),
        peer("apollo", url, upstream),
    ]
}

fn works() -> Vec<Work> {
    let peers = ["mercurius", "yoga", "apollo"];
    vec![
        Work {
            title: "no database: __typename",
            query: TYPENAME,
            servers: [&["bare axum", ON_POSTGRES][..], &peers].concat(),
            limit: "bare axum",
        },
        Work {
            title: "session, user and connection from the database",
            query: ME,
            servers: [&["bare axum and sqlx", ON_POSTGRES, ON_SQLITE][..], &peers].concat(),
            limit: "bare axum and sqlx",
        },
        Work {
            title: "the same, and the connection's status asked of Intuned",
            query: STATUS,
            servers: [&["bare axum and sqlx", ON_POSTGRES, ON_SQLITE][..], &peers].concat(),
            limit: "bare axum and sqlx",
        },
    ]
}

async fn measure(
    work: &Work,
    servers: &[Server],
    database: DatabaseServer,
    (people, sqlite_people): (&[Person], &[Person]),
) {
    let mut rounds: HashMap<&str, Vec<Measured>> = HashMap::new();
    for round in 0..=ROUNDS {
        for server in servers {
            if !work.servers.contains(&server.name) {
                continue;
            }
            let people = if server.name == ON_SQLITE {
                sqlite_people
            } else {
                people
            };
            let requests = Arc::new(requests(server.name, work.query, people));
            if round == 0 {
                check(server, &requests[0], work.query).await;
                warm_up(server, &requests).await;
                continue;
            }
            let before = (server.cpu(), database.cpu());
            let load = http::load(server.address, &requests, CONNECTIONS, ROUND);
            // A database server needs the core that the load comes from.
            let load = match work.query {
                TYPENAME => http::awake(load).await,
                _ => load.await,
            };
            let cpu = (server.cpu_since(before.0), database.cpu_since(before.1));
            #[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
            let count = load.requests as f64;
            rounds.entry(server.name).or_default().push(Measured {
                cpu_micros: cpu.0.as_secs_f64() * 1e6 / count,
                database_micros: cpu.1.as_secs_f64() * 1e6 / count,
                rate: count / load.elapsed.as_secs_f64(),
            });
        }
    }
    let middle = |rounds: &[Measured], value: fn(&Measured) -> f64| {
        median(rounds.iter().map(value).collect())
    };
    let medians = rounds.iter().map(|(name, rounds)| {
        let medians = Measured {
            cpu_micros: middle(rounds, |measured| measured.cpu_micros),
            database_micros: middle(rounds, |measured| measured.database_micros),
            rate: middle(rounds, |measured| measured.rate),
        };
        (*name, medians)
    });
    report(work, &medians.collect());
}

async fn warm_up(server: &Server, requests: &Arc<Vec<Bytes>>) {
    let (begun, mut sent) = (Instant::now(), 0);
    while sent < WARM_UP && begun.elapsed() < WARM_UP_AT_MOST {
        let second = Duration::from_secs(1);
        let load = http::load(server.address, requests, CONNECTIONS, second).await;
        sent += load.requests;
    }
}

fn report(work: &Work, medians: &HashMap<&str, Measured>) {
    let of = |name: &str, value: fn(&Measured) -> f64| medians.get(name).map_or(f64::NAN, value);
    let cpu = |name: &str| of(name, |measured| measured.cpu_micros);
    let rows: Vec<_> = work
        .servers
        .iter()
        .filter_map(|name| {
            let measured = medians.get(name)?;
            Some(vec![
                (*name).to_owned(),
                format!("{:.1}", measured.cpu_micros),
                format!("{:.1}", measured.database_micros),
                format!("{:.1}", measured.both()),
                format!("{:.0}", measured.rate),
                format!("{:.2}", cpu(work.limit) / measured.cpu_micros),
            ])
        })
        .collect();
    let header = [
        work.title,
        "CPU µs",
        "of the database server",
        "both",
        "requests/s",
        "CPU against the limit",
    ];
    table::print(&header, &rows);
    let against_limit = cpu(work.limit) / cpu(ON_POSTGRES);
    let against_mercurius = cpu("mercurius") / cpu(ON_POSTGRES);
    match work.query {
        TYPENAME => table::at_least("gateway against bare axum", against_limit, 0.65),
        ME => {
            table::at_least("gateway against Mercurius", against_mercurius, 1.5);
            table::at_least("gateway against bare axum and sqlx", against_limit, 0.85);
        }
        _ => table::at_least("gateway against Mercurius", against_mercurius, 1.5),
    }
    if work.query != TYPENAME {
        // SQLite does in the gateway what PostgreSQL does in processes of its own.
        let both = of(ON_POSTGRES, Measured::both) / of(ON_SQLITE, Measured::both);
        table::at_least(
            "SQLite against Postgres, CPU with the database server's",
            both,
            1.0,
        );
        let rate = |name| of(name, |measured| measured.rate);
        table::at_least(
            "SQLite against Postgres, requests/s",
            rate(ON_SQLITE) / rate(ON_POSTGRES),
            1.0,
        );
    }
}

pub(crate) fn requests(server: &str, query: &str, people: &[Person]) -> Vec<Bytes> {
    let body = json!({ "query": query }).to_string();
    let path = if server == "bare axum and sqlx" {
        "/row"
    } else {
        "/graphql"
    };
    let request = |person: &Person| {
        let user = person.user.to_string();
        let authorization = format!("Bearer {}", person.token);
        let headers: &[_] = if query == TYPENAME {
            &[]
        } else {
            &[
                ("authorization", authorization.as_str()),
                ("x-user-id", user.as_str()),
            ]
        };
        http::post(path, headers, &body)
    };
    people.iter().map(request).collect()
}

/// Makes sure that the server does the work that is measured.
async fn check(server: &Server, request: &[u8], query: &str) {
    let mut connection = Connection::open(server.address, 0).await.unwrap();
    let answer = connection.exchange(request).await.unwrap();
    let text = String::from_utf8_lossy(&answer.body);
    let value: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let (path, ours) = match query {
        TYPENAME => ("/data/__typename", true),
        ME if server.name.starts_with("bare") => ("/data/me/email", true),
        ME => ("/data/me/connection/connectedAt", true),
        _ => (
            "/data/me/connection/status",
            !server.name.starts_with("bare"),
        ),
    };
    let found = value.pointer(path).is_some_and(Value::is_string);
    assert!(found || !ours, "{} answered {text}", server.name);
}

#[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
pub(crate) fn mib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1024.0 / 1024.0)
}
