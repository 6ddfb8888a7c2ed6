//! How soon operations are driven on after the gateway that drove them was killed.

use std::{ops::Range, time::Duration};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use crate::{
    in_flight::{self, FirstPolls},
    postgres::Postgres,
    process::{self, Process, Settings},
    upstream::API_KEY,
};

/// What the 99th of a hundred operations may wait, with the lease that gateways have unless told otherwise.
const WITHIN: Duration = Duration::from_secs(15);
const LEASE: &str = "10s";
/// Kills go on in so many pairs of gateways at once, each with a database of its own.
const PAIRS: u32 = 8;
const OPERATIONS_OF_A_PAIR: u32 = 10;
const OPERATIONS: Range<u32> = 0..OPERATIONS_OF_A_PAIR;
/// A kill comes at any moment within this span, some heartbeats long.
const KILL_WITHIN: Duration = Duration::from_secs(5);
/// Long before a lease is over.
const ON_ITS_WAY: Duration = Duration::from_secs(1);
/// After this the wait is over, whatever has been taken over.
const PATIENCE: Duration = Duration::from_mins(1);

/// Whether all operations were taken over, 99 of 100 of them in time.
pub(crate) async fn run(kills: u32, seed: u64) -> bool {
    let pairs = PAIRS.min(kills.max(1));
    let mut running = JoinSet::new();
    for number in 0..pairs {
        let kills = kills / pairs + u32::from(number < kills % pairs);
        let random = StdRng::seed_from_u64(seed.wrapping_add(number.into()));
        running.spawn(async move { Pair::start().await.kill(kills, random).await });
    }
    let mut waits = running.join_all().await.concat();
    waits.sort_unstable();
    let expected = usize::try_from(kills * OPERATIONS_OF_A_PAIR).unwrap();
    println!(
        "take-over    {kills} kill -9, seed {seed}: {} of {expected} operations were driven on; lease {LEASE}; \
         after {:.1} s median, {:.1} s p99, {:.1} s at the longest",
        waits.len(),
        quantile(&waits, 50),
        quantile(&waits, 99),
        quantile(&waits, 100),
    );
    waits.len() == expected && quantile(&waits, 99) <= WITHIN.as_secs_f64()
}

/// A gateway that drives operations, and one that stands by.
struct Pair {
    settings: Settings,
    driver: Process,
    standby: Process,
    polls: FirstPolls,
}

impl Pair {
    async fn start() -> Self {
        let postgres = Postgres::create().await;
        let polls = FirstPolls::default();
        let base_url = in_flight::serve_pending(polls.clone()).await;
        let mut settings = process::settings(postgres.url.as_str(), &base_url, API_KEY);
        settings.push(("INTUNED_POLL_INTERVAL", "100ms".to_owned()));
        settings.push(("LEASE", LEASE.to_owned()));
        let driver = Process::spawn(&settings);
        driver.ready().await;
        in_flight::insert(&postgres.connect().await, OPERATIONS).await;
        all_driven(&polls).await;
        let standby = Process::spawn(&settings);
        standby.ready().await;
        Self {
            settings,
            driver,
            standby,
            polls,
        }
    }

    /// How long each operation waited after each kill.
    async fn kill(mut self, kills: u32, mut random: StdRng) -> Vec<Duration> {
        let mut waits = Vec::new();
        for _ in 0..kills {
            sleep(KILL_WITHIN.mul_f64(random.random())).await;
            self.driver.kill().await;
            let killed = Instant::now();
            // What it sent may be on its way still.
            sleep(ON_ITS_WAY).await;
            self.polls.lock().unwrap().clear();
            all_driven(&self.polls).await;
            waits.extend(self.waits_since(killed));
            // The one that stood by drives everything now, and a fresh one stands by.
            self.driver = std::mem::replace(&mut self.standby, Process::spawn(&self.settings));
            self.standby.ready().await;
        }
        waits
    }

    fn waits_since(&self, killed: Instant) -> Vec<Duration> {
        let polls = self.polls.lock().unwrap();
        polls.values().map(|polled| *polled - killed).collect()
    }
}

/// Waits until Intuned was asked about each of the operations.
async fn all_driven(polls: &FirstPolls) {
    let everything = async {
        while polls.lock().unwrap().len() < OPERATIONS.len() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    // Whatever is missing then is missing in the report.
    timeout(PATIENCE, everything).await.ok();
}

/// Seconds within which so many of a hundred came.
fn quantile(sorted: &[Duration], percent: usize) -> f64 {
    let place = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(place).map_or(f64::NAN, Duration::as_secs_f64)
}
