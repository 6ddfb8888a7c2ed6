//! Operations in flight that a dead replica left behind, and an Intuned that never has done with them.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex},
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
use intuned_simulator::BASE_PATH;
use sea_orm::{DatabaseConnection, EntityTrait, Set};
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::Instant};
use uuid::Uuid;

const ROWS_AT_ONCE: usize = 1000;

/// When Intuned was first asked about each operation, by its number, since the map was last emptied.
pub(crate) type FirstPolls = Arc<Mutex<HashMap<u32, Instant>>>;

/// An Intuned that is never done.
pub(crate) async fn serve_pending(polls: FirstPolls) -> String {
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
    Path((_, _, number)): Path<(String, String, u32)>,
) -> Json<Value> {
    let mut polls = polls.lock().unwrap();
    polls.entry(number).or_insert_with(Instant::now);
    Json(json!({ "status": "pending" }))
}

/// Operations of these numbers whose owner is dead, each of another user.
pub(crate) async fn insert(database: &DatabaseConnection, numbers: Range<u32>) {
    let now = DateTime::from_timestamp_millis(now(database).await).unwrap();
    let numbers: Vec<u32> = numbers.collect();
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
        password_hash: Set(user::PasswordHash::none()),
        created_at: Set(now.into()),
        ..Default::default()
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
