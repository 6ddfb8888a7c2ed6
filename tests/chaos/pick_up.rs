//! How soon a gateway that starts has asked about everything that another one left behind.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, State},
    routing::get,
};
use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    connection::Service,
    operation::{self, Kind, Status},
    user,
};
use intuned_gateway::simulator::BASE_PATH;
use sea_orm::{DatabaseConnection, EntityTrait, Set};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    time::{Instant, sleep, timeout},
};
use uuid::Uuid;

use crate::{
    postgres::Postgres,
    process::{self, Process},
    upstream::API_KEY,
};

/// Everything is asked about within this time.
const WITHIN: Duration = Duration::from_secs(15);
const ROWS_AT_ONCE: usize = 1000;
/// Polls are counted in spans of this length.
const SPAN: Duration = Duration::from_millis(100);

type FirstPolls = Arc<Mutex<HashMap<String, Instant>>>;

/// Whether `count` operations in flight were picked up in time.
pub(crate) async fn run(count: u32) -> bool {
    let postgres = Postgres::create().await;
    let polls = FirstPolls::default();
    let base_url = serve_pending(polls.clone()).await;
    let mut settings = process::settings(postgres.url.as_str(), &base_url, API_KEY);
    settings.push(("INTUNED_POLL_INTERVAL", "1s".to_owned()));
    settings.push(("LEASE", "10s".to_owned()));
    let mut first = Process::spawn(&settings);
    first.ready().await;
    first.stop().await;
    insert(&postgres.connect().await, count).await;

    let started = Instant::now();
    let mut gateway = Process::spawn(&settings);
    gateway.ready().await;
    let ready = started.elapsed();
    let everything = async {
        while polls.lock().unwrap().len() < count.try_into().unwrap() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    let in_time = timeout(WITHIN.saturating_sub(ready), everything)
        .await
        .is_ok();
    let took = started.elapsed();
    let polls = polls.lock().unwrap().clone();
    gateway.kill().await;
    println!(
        "pick-up      {} of {count} operations asked about {:.1} s after the start (ready after {:.1} s); \
         at most {} of them within {} ms",
        polls.len(),
        took.as_secs_f64(),
        ready.as_secs_f64(),
        busiest(started, &polls),
        SPAN.as_millis()
    );
    in_time
}

/// An Intuned that is never done.
async fn serve_pending(polls: FirstPolls) -> String {
    let path = format!(
        "{BASE_PATH}/{{workspace}}/projects/{{project}}/auth-sessions/create/{{id}}/result"
    );
    let router = Router::new().route(&path, get(pending)).with_state(polls);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}{BASE_PATH}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    base_url
}

async fn pending(
    State(polls): State<FirstPolls>,
    Path((_, _, id)): Path<(String, String, String)>,
) -> Json<Value> {
    polls.lock().unwrap().entry(id).or_insert_with(Instant::now);
    Json(json!({ "status": "pending" }))
}

/// Operations whose owner is dead, each of another user.
async fn insert(database: &DatabaseConnection, count: u32) {
    let now = DateTime::from_timestamp_millis(now(database).await).unwrap();
    let numbers: Vec<u32> = (0..count).collect();
    for numbers in numbers.chunks(ROWS_AT_ONCE) {
        let users = numbers.iter().map(|number| user_row(*number, now));
        user::Entity::insert_many(users)
            .exec_without_returning(database)
            .await
            .unwrap();
        let operations = numbers.iter().map(|number| operation_row(*number, now));
        operation::Entity::insert_many(operations)
            .exec_without_returning(database)
            .await
            .unwrap();
    }
}

async fn now(database: &DatabaseConnection) -> i64 {
    use sea_orm::{ConnectionTrait, DbBackend, Statement};
    let query = "SELECT CAST(extract(epoch FROM now()) * 1000 AS bigint) AS now";
    let statement = Statement::from_string(DbBackend::Postgres, query);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get("", "now").unwrap()
}

fn id(number: u32) -> Uuid {
    Uuid::from_u128(number.into())
}

fn user_row(number: u32, now: DateTime<Utc>) -> user::ActiveModel {
    user::ActiveModel {
        id: Set(id(number)),
        email: Set(format!("user-{number}@example.com")),
        password_hash: Set(user::PasswordHash("none".to_owned())),
        created_at: Set(now.into()),
    }
}

fn operation_row(number: u32, now: DateTime<Utc>) -> operation::ActiveModel {
    operation::ActiveModel {
        id: Set(id(number)),
        user_id: Set(id(number)),
        service: Set(Service::OrangeHrm),
        kind: Set(Kind::Connect),
        status: Set(Status::InProgress),
        sequence: Set(3),
        auth_session_id: Set(id(number).to_string()),
        upstream_operation_id: Set(Some(number.to_string())),
        polls: Set(1),
        owner: Set(Some(Uuid::max())),
        epoch: Set(1),
        created_at: Set(now.into()),
        updated_at: Set(now.into()),
        expires_at: Set((now + TimeDelta::minutes(15)).into()),
        ..Default::default()
    }
}

/// The most first polls in a span.
fn busiest(started: Instant, polls: &HashMap<String, Instant>) -> usize {
    let mut spans: HashMap<u128, usize> = HashMap::new();
    for poll in polls.values() {
        let span = (*poll - started).as_millis() / SPAN.as_millis();
        *spans.entry(span).or_default() += 1;
    }
    spans.into_values().max().unwrap_or_default()
}
