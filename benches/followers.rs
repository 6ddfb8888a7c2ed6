//! How soon followers hear of a change: on the replica that drives the operation, and on another one.
//! The baseline, in the same run, is a bare round trip of Postgres's NOTIFY on the same server.
//!
//! Run it with `scripts/bench`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a benchmark that cannot go on fails on the spot, and prints what it measured"
)]

#[expect(
    dead_code,
    unused_imports,
    reason = "shared with tests that use more of it"
)]
#[path = "../tests/it/support/mod.rs"]
mod support;

use std::time::Duration;

use intuned_gateway::ambient::{Clock, SystemClock};
use secrecy::ExposeSecret;
use serde_json::Value;
use sqlx::postgres::{PgListener, PgPool};
use support::{Backend, Setup, TestApp, socket::Socket};
use tokio::time::Instant;

/// Operations followed on each side.
const OPERATIONS: usize = 100;

#[tokio::main]
async fn main() {
    let setup = Setup {
        delay_scale: 0.02,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Postgres, setup).await;
    let other = app.replica().await;
    let url = app.config.database_url.expose_secret();
    let bare = notifications(url).await;

    let (mut here, mut there) = (Vec::new(), Vec::new());
    for number in 0..OPERATIONS {
        let user = app.user(&format!("user-{number}@example.com")).await;
        let mut near = app.socket(&user).await;
        let mut far = other.socket(&user).await;
        let operation = user.connect("Admin", "admin123").await;
        let id = operation["id"].as_str().unwrap();
        near.follow("1", id, Some(1)).await;
        far.follow("1", id, Some(1)).await;
        let (near, far) = tokio::join!(delays(near), delays(far));
        here.extend(near);
        there.extend(far);
    }
    println!(
        "{:<34}{:>8}{:>10}{:>10}",
        "from a change to its follower, ms", "changes", "median", "p99"
    );
    for (what, delays) in [
        ("a bare NOTIFY", bare),
        ("on the same replica", here),
        ("on another replica", there),
    ] {
        print(what, delays);
    }
    other.finish().await;
    app.finish().await;
}

/// How long after each change its event was received.
async fn delays(mut socket: Socket) -> Vec<Duration> {
    let mut delays = Vec::new();
    while let Some(event) = socket.event().await {
        if event["kind"] == "CHANGE" {
            delays.push(since(&event["occurredAt"]));
        }
    }
    delays
}

fn since(instant: &Value) -> Duration {
    let instant: chrono::DateTime<chrono::Utc> = instant.as_str().unwrap().parse().unwrap();
    (SystemClock.now() - instant).to_std().unwrap_or_default()
}

async fn notifications(url: &str) -> Vec<Duration> {
    let pool = PgPool::connect(url).await.unwrap();
    let mut listener = PgListener::connect(url).await.unwrap();
    listener.listen("benchmark").await.unwrap();
    let mut delays = Vec::new();
    for _ in 0..OPERATIONS {
        let begun = Instant::now();
        sqlx::query("SELECT pg_notify('benchmark', '')")
            .execute(&pool)
            .await
            .unwrap();
        listener.recv().await.unwrap();
        delays.push(begun.elapsed());
    }
    delays
}

fn print(what: &str, mut delays: Vec<Duration>) {
    delays.sort();
    let millis = |share: usize| {
        let at = (delays.len() * share / 100).min(delays.len() - 1);
        delays[at].as_secs_f64() * 1000.0
    };
    println!(
        "{what:<34}{:>8}{:>10.1}{:>10.1}",
        delays.len(),
        millis(50),
        millis(99)
    );
}
