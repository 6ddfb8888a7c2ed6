//! How soon a gateway that starts has asked about everything that another one left behind.

use std::{collections::HashMap, time::Duration};

use tokio::time::{Instant, sleep, timeout};

use crate::{
    in_flight::{self, FirstPolls},
    postgres::Postgres,
    process::{self, Process},
    upstream::API_KEY,
};

/// Everything is asked about within this time.
const WITHIN: Duration = Duration::from_secs(15);
/// Polls are counted in spans of this length.
const SPAN: Duration = Duration::from_millis(100);

/// Whether `count` operations in flight were picked up in time.
pub(crate) async fn run(count: u32) -> bool {
    let postgres = Postgres::create().await;
    let polls = FirstPolls::default();
    let base_url = in_flight::serve_pending(polls.clone()).await;
    let mut settings = process::settings(postgres.url.as_str(), &base_url, API_KEY);
    settings.push(("INTUNED_POLL_INTERVAL", "1s".to_owned()));
    settings.push(("LEASE", "10s".to_owned()));
    let mut first = Process::spawn(&settings);
    first.ready().await;
    first.stop().await;
    in_flight::insert(&postgres.connect().await, 0..count).await;

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

/// The most first polls in a span.
fn busiest(started: Instant, polls: &HashMap<u32, Instant>) -> usize {
    let mut spans: HashMap<u128, usize> = HashMap::new();
    for poll in polls.values() {
        let span = (*poll - started).as_millis() / SPAN.as_millis();
        *spans.entry(span).or_default() += 1;
    }
    spans.into_values().max().unwrap_or_default()
}
