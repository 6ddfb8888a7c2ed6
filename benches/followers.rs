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
#[expect(dead_code, reason = "shared with the rig, which uses more of it")]
#[path = "rig/src/table.rs"]
mod table;

use std::time::Duration;

use ambient::{Clock, SystemClock};
use secrecy::ExposeSecret;
use serde_json::Value;
use sqlx::postgres::{PgListener, PgPool};
use support::{Backend, Setup, TestApp, socket::Socket};
use tokio::time::Instant;

/// Operations followed on each side, and those before them that warm up what the others are measured on.
const OPERATIONS: usize = 200;
const WARM_UP: usize = 20;
/// What no change may take, wherever its follower is.
const BOUND: f64 = 250.0;

#[tokio::main]
async fn main() {
    let setup = Setup {
        delay_scale: 0.02,
        ..Setup::default()
    };
    let app = TestApp::with(Backend::Postgres, setup).await;
    let other = app.replica().await;
    let url = app.config.database_url.expose_secret();
    let mut bare = notifications(url).await;

    let (mut here, mut there) = (Vec::new(), Vec::new());
    for number in 0..WARM_UP + OPERATIONS {
        let user = app.user(&format!("user-{number}@example.com")).await;
        let mut near = app.socket(&user).await;
        let mut far = other.socket(&user).await;
        let operation = user.connect("Admin", "admin123").await;
        let id = operation["id"].as_str().unwrap();
        near.follow("1", id, Some(1)).await;
        far.follow("1", id, Some(1)).await;
        let (near, far) = tokio::join!(delays(near), delays(far));
        if number >= WARM_UP {
            here.extend(near);
            there.extend(far);
        }
    }
    other.finish().await;
    app.finish().await;
    let rows = [
        row("a bare NOTIFY", &mut bare),
        row("on the same replica", &mut here),
        row("on another replica", &mut there),
    ];
    let header = [
        "from a change to its follower",
        "changes",
        "median, ms",
        "p99, ms",
        "longest, ms",
    ];
    table::print(&header, &rows);
    for (what, delays, wanted) in [
        ("the same replica", &mut here, 10.0),
        ("another replica", &mut there, 50.0),
    ] {
        let p99 = table::percentile(delays, 99);
        table::at_most(&format!("p99 on {what}, ms"), p99, wanted);
        let longest = table::percentile(delays, 100);
        table::at_most(&format!("longest on {what}, ms"), longest, BOUND);
    }
}

fn row(what: &str, delays: &mut [f64]) -> Vec<String> {
    let count = delays.len().to_string();
    let at = [50, 99, 100].map(|share| format!("{:.1}", table::percentile(delays, share)));
    [what.to_owned(), count].into_iter().chain(at).collect()
}

/// How many milliseconds after each change its event was received.
async fn delays(mut socket: Socket) -> Vec<f64> {
    let mut delays = Vec::new();
    while let Some(event) = socket.event().await {
        if event["kind"] == "CHANGE" {
            delays.push(millis(since(&event["occurredAt"])));
        }
    }
    delays
}

fn since(instant: &Value) -> Duration {
    let instant: chrono::DateTime<chrono::Utc> = instant.as_str().unwrap().parse().unwrap();
    (SystemClock.now() - instant).to_std().unwrap_or_default()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

async fn notifications(url: &str) -> Vec<f64> {
    let pool = PgPool::connect(url).await.unwrap();
    let mut listener = PgListener::connect(url).await.unwrap();
    listener.listen("benchmark").await.unwrap();
    let mut delays = Vec::new();
    for number in 0..WARM_UP + OPERATIONS {
        let begun = Instant::now();
        sqlx::query("SELECT pg_notify('benchmark', '')")
            .execute(&pool)
            .await
            .unwrap();
        listener.recv().await.unwrap();
        if number >= WARM_UP {
            delays.push(millis(begun.elapsed()));
        }
    }
    delays
}
