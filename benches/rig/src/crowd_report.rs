//! What became of the crowd.

use std::time::Duration;

use tokio::time::Instant;

use crate::{
    process::Server,
    reads::mib,
    table::{self, percentile},
};

/// A pool's connections, which may have been opened meanwhile.
const MAY_STAY_OPEN: f64 = 16.0;

/// A replica at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look {
    memory: u64,
    descriptors: usize,
}

impl Look {
    pub(crate) fn at(server: &Server) -> Self {
        Self {
            memory: server.memory(),
            descriptors: server.descriptors(),
        }
    }
}

/// A query that was asked while the crowd was there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query {
    pub(crate) begun: Instant,
    /// How long it took; none when it was not answered.
    pub(crate) after: Option<Duration>,
}

/// The crowd coming, staying and going.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) opened: usize,
    pub(crate) subscribed: usize,
    pub(crate) came_after: Duration,
    pub(crate) heard: usize,
    pub(crate) heard_after: Duration,
    /// Sockets that the server had not ended at the end.
    pub(crate) stayed: usize,
    /// When all were there and nothing else was going on.
    pub(crate) held: (Instant, Instant),
    pub(crate) queries: Vec<Query>,
    /// The replicas with all sockets open.
    pub(crate) with: Vec<Look>,
    /// Bytes that the kernel took for both ends of them.
    pub(crate) kernel: u64,
    /// The replicas after all sockets were closed.
    pub(crate) after: Vec<Look>,
}

/// Prints what `rounds` with `count` sockets came to; `rest` is the replicas before the first.
pub(crate) fn report(count: usize, rest: &[Look], rounds: &[Round]) {
    let (sockets, replicas): (Vec<_>, Vec<_>) = rounds
        .iter()
        .enumerate()
        .map(|(number, round)| {
            let time = format!("time {}", number + 1);
            (sockets(&time, round), looks(&time, rest, round))
        })
        .unzip();
    let title = format!("{count} sockets to {} replica(s)", rest.len());
    let header = [
        title.as_str(),
        "opened",
        "subscribed",
        "within s",
        "heard an event",
        "within s",
        "still open",
        "a query meanwhile, median ms",
        "p99, all there",
        "slowest, coming and hearing too",
        "MiB of the kernel, both ends",
    ];
    table::print(&header, &sockets);
    let header = [
        "each replica",
        "MiB of its own before",
        "with the sockets",
        "when they are gone",
        "descriptors before",
        "with the sockets",
        "when they are gone",
    ];
    table::print(&header, &replicas.concat());
    verdicts(count, rest, rounds);
}

fn sockets(time: &str, round: &Round) -> Vec<String> {
    let (from, to) = round.held;
    let millis = |query: &Query| {
        let after = query.after.map(|after| after.as_secs_f64() * 1000.0);
        after.unwrap_or(f64::INFINITY)
    };
    let held = round.queries.iter();
    let held = held.filter(|query| query.begun >= from && query.begun < to);
    let mut held: Vec<f64> = held.map(millis).collect();
    let slowest = round.queries.iter().map(millis).fold(0.0, f64::max);
    let seconds = |duration: Duration| format!("{:.1}", duration.as_secs_f64());
    vec![
        time.to_owned(),
        round.opened.to_string(),
        round.subscribed.to_string(),
        seconds(round.came_after),
        round.heard.to_string(),
        seconds(round.heard_after),
        round.stayed.to_string(),
        format!("{:.1}", percentile(&mut held, 50)),
        format!("{:.1}", percentile(&mut held, 99)),
        format!("{slowest:.0}"),
        mib(round.kernel),
    ]
}

fn looks(time: &str, rest: &[Look], round: &Round) -> Vec<Vec<String>> {
    let looks = rest.iter().zip(&round.with).zip(&round.after).enumerate();
    looks
        .map(|(number, ((rest, with), after))| {
            let looks = [rest, with, after];
            let memory = looks.iter().map(|look| mib(look.memory));
            let descriptors = looks.iter().map(|look| look.descriptors.to_string());
            let name = format!("{}, {time}", number + 1);
            [name]
                .into_iter()
                .chain(memory)
                .chain(descriptors)
                .collect()
        })
        .collect()
}

#[expect(clippy::cast_precision_loss, reason = "far from 2^52")]
fn verdicts(count: usize, rest: &[Look], rounds: &[Round]) {
    let fewest = |value: fn(&Round) -> usize| rounds.iter().map(value).min().unwrap_or(0) as f64;
    let count = count as f64;
    table::at_least("sockets opened", fewest(|round| round.opened), count);
    table::at_least(
        "sockets subscribed",
        fewest(|round| round.subscribed),
        count,
    );
    table::at_least(
        "sockets that heard an event",
        fewest(|round| round.heard),
        count,
    );
    table::at_least(
        "sockets open to the end",
        fewest(|round| round.stayed),
        count,
    );
    let queries = rounds.iter().flat_map(|round| &round.queries);
    let unanswered = queries.filter(|query| query.after.is_none()).count();
    table::at_most("queries without an answer", unanswered as f64, 0.0);

    let sum = |looks: &[Look], value: fn(&Look) -> f64| looks.iter().map(value).sum::<f64>();
    let memory = |looks: &[Look]| sum(looks, |look| look.memory as f64);
    let descriptors = |looks: &[Look]| sum(looks, |look| look.descriptors as f64);
    let (Some(first), Some(last)) = (rounds.first(), rounds.last()) else {
        return;
    };
    let left = descriptors(&last.after) - descriptors(rest);
    table::at_most(
        "descriptors that stay open",
        left,
        MAY_STAY_OPEN * rest.len() as f64,
    );
    let taken = memory(&last.with) - memory(rest);
    let given_back = (memory(&last.with) - memory(&last.after)) / taken;
    table::at_least(
        "memory given back, of what the sockets took",
        given_back,
        0.5,
    );
    let growth = memory(&last.with) / memory(&first.with);
    table::at_most("growth of memory from time to time", growth, 1.05);
}
