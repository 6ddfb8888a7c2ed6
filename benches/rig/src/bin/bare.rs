//! The physical limit: servers that do nothing but what cannot be left out.
//!
//! `/graphql` by POST answers fixed bytes, `/row` reads one row by its primary key, and `/graphql` as a
//! WebSocket sends fixed frames: one to each socket when `/broadcast` is called. With `POLL_URL` set it asks
//! for 10,000 things there once a second each.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "a server of the benchmarks that cannot go on fails on the spot"
)]

use std::{env, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{
        State, WebSocketUpgrade,
        ws::{Message, WebSocket},
    },
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use sqlx::{
    Row,
    postgres::{PgPool, PgPoolOptions},
};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{Instant, interval_at},
};
use uuid::Uuid;

/// As large as the gateway's event.
const EVENT: &str = r#"{"id":"1","type":"next","payload":{"data":{"operationStatus":{"kind":"PROGRESS","sequence":3,"status":"IN_PROGRESS","message":"Intuned is signing in.","polls":12,"elapsedMs":12000,"operation":{"id":"01940000-0000-7000-8000-000000000000","status":"IN_PROGRESS"}}}}}"#;

const KEY: HeaderName = HeaderName::from_static("x-api-key");
const POLLED: u32 = 10_000;
const POLL_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Clone)]
struct Bare {
    answer: Bytes,
    pool: Option<PgPool>,
    events: Arc<watch::Sender<()>>,
}

#[tokio::main]
async fn main() {
    let pool = match env::var("DATABASE_URL") {
        Ok(url) => Some(
            PgPoolOptions::new()
                .max_connections(10)
                .test_before_acquire(false)
                .connect(&url)
                .await
                .expect("the database answers"),
        ),
        Err(_) => None,
    };
    let bare = Bare {
        answer: env::var("ANSWER").unwrap_or_default().into(),
        pool,
        events: Arc::new(watch::Sender::new(())),
    };
    let app = Router::new()
        .route("/graphql", post(answer).get(socket))
        .route("/row", post(row))
        .route("/broadcast", post(broadcast))
        .route("/health/ready", get(async || ""))
        .with_state(bare);
    if let Ok(url) = env::var("POLL_URL") {
        poll(&url);
    }
    let address = env::var("LISTEN_ADDR").expect("an address to listen at");
    let listener = TcpListener::bind(address).await.unwrap();
    axum::serve(listener, app).await.unwrap();
}

async fn answer(State(bare): State<Bare>, _body: Bytes) -> Response {
    json(bare.answer)
}

fn json(body: Bytes) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// One row by the primary key that is in a header, where reading it costs nothing.
async fn row(State(bare): State<Bare>, headers: HeaderMap, _body: Bytes) -> Response {
    let id: Uuid = headers["x-user-id"].to_str().unwrap().parse().unwrap();
    let row = sqlx::query("SELECT id, email, password_hash, created_at FROM users WHERE id = $1")
        .bind(id)
        .fetch_one(bare.pool.as_ref().expect("a database"))
        .await
        .unwrap();
    let (id, email): (Uuid, &str) = (row.get(0), row.get(1));
    json(format!(r#"{{"data":{{"me":{{"id":"{id}","email":"{email}"}}}}}}"#).into())
}

async fn broadcast(State(bare): State<Bare>) {
    bare.events.send_replace(());
}

async fn socket(State(bare): State<Bare>, upgrade: WebSocketUpgrade) -> Response {
    let events = bare.events.subscribe();
    upgrade
        .protocols(["graphql-transport-ws"])
        .read_buffer_size(4096)
        .on_upgrade(|socket| converse(socket, events))
}

async fn converse(mut socket: WebSocket, mut events: watch::Receiver<()>) {
    for answer in [r#"{"type":"connection_ack"}"#, EVENT] {
        if !matches!(socket.recv().await, Some(Ok(_))) {
            return;
        }
        if socket.send(Message::Text(answer.into())).await.is_err() {
            return;
        }
    }
    loop {
        let sent = tokio::select! {
            received = socket.recv() => match received {
                Some(Ok(_)) => continue,
                _ => return,
            },
            _ = events.changed() => socket.send(Message::Text(EVENT.into())).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// One client for all, a task for each, all of them evenly spread over the interval.
fn poll(url: &str) {
    let client = reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .build()
        .unwrap();
    let key = HeaderValue::from_static("key");
    let begun = Instant::now();
    for number in 0..POLLED {
        let (client, key) = (client.clone(), key.clone());
        let url = format!("{url}/auth-sessions/create/{}/result", Uuid::new_v4());
        let url: reqwest::Url = url.parse().unwrap();
        let mut due = interval_at(begun + POLL_INTERVAL * number / POLLED, POLL_INTERVAL);
        tokio::spawn(async move {
            loop {
                due.tick().await;
                let request = client.get(url.clone()).header(KEY, key.clone());
                let answer = request.send().await.unwrap().bytes().await.unwrap();
                serde_json::from_slice::<serde_json::Value>(&answer).unwrap();
            }
        });
    }
}
