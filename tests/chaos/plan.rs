//! What goes wrong and when, drawn from the seed before it begins.

use std::time::Duration;

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Replicas count as dead after this long.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// The randomness of one part of the run: the same for the same seed, whatever the others draw.
pub(crate) fn random(seed: u64, part: u64) -> StdRng {
    StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ part)
}

/// How a replica's life goes on after a while.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) after: Duration,
    pub(crate) fate: Fate,
    /// How long it is down, or stopped.
    pub(crate) lasts: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// `kill -9`, then a new process.
    Killed,
    /// SIGSTOP for longer than the lease, then SIGCONT.
    Stopped,
    /// SIGTERM, then a new process.
    Restarted,
}

/// What happens to the database.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trouble {
    /// Half of the connections are reset.
    Reset,
    /// No connection can be made, and those that stood are reset, for this long.
    Away(Duration),
    /// The server restarts in good order.
    Restart,
    /// The server ends on the spot and recovers.
    Crash,
}

pub(crate) fn turns(mut random: StdRng, total: Duration) -> Vec<Turn> {
    fill(total, || {
        let after = millis(&mut random, 500, 6_500);
        let fate = match random.random_range(0..100) {
            0..74 => Fate::Killed,
            74..94 => Fate::Stopped,
            _ => Fate::Restarted,
        };
        let lasts = match fate {
            Fate::Stopped => LEASE + millis(&mut random, 500, 2_500),
            Fate::Killed | Fate::Restarted => millis(&mut random, 0, 1_000),
        };
        let turn = Turn { after, fate, lasts };
        (turn, after + lasts)
    })
}

pub(crate) fn troubles(mut random: StdRng, total: Duration) -> Vec<(Duration, Trouble)> {
    fill(total, || {
        let after = millis(&mut random, 1_000, 8_000);
        let trouble = match random.random_range(0..100) {
            0..60 => Trouble::Reset,
            60..75 => Trouble::Away(millis(&mut random, 300, 2_500)),
            75..88 => Trouble::Restart,
            _ => Trouble::Crash,
        };
        ((after, trouble), after)
    })
}

/// How many requests of a thousand go wrong at Intuned, and for how long.
pub(crate) fn fault_rates(mut random: StdRng, total: Duration) -> Vec<(u32, Duration)> {
    fill(total, || {
        let lasts = millis(&mut random, 3_000, 12_000);
        let rate = if random.random_bool(0.5) { 10 } else { 100 };
        ((rate, lasts), lasts)
    })
}

/// Draws until the time is full.
fn fill<T>(total: Duration, mut draw: impl FnMut() -> (T, Duration)) -> Vec<T> {
    let mut drawn = Vec::new();
    let mut at = Duration::ZERO;
    while at < total {
        let (item, lasts) = draw();
        at += lasts;
        drawn.push(item);
    }
    drawn
}

pub(crate) fn millis(random: &mut StdRng, least: u64, most: u64) -> Duration {
    Duration::from_millis(random.random_range(least..=most))
}
