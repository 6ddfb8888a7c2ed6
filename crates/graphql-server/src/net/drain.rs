//! Drain schedule: spreads the end of connections when the server stops.
//!
//! Clients reconnect at once, and all at the same moment would overload the other servers.

use std::{
    array,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Number of groups that end one after the other.
const GROUPS: usize = 64;

/// Groups of sockets and event streams. Clones share the groups.
#[derive(Clone, Debug)]
pub(crate) struct DrainSchedule {
    groups: Arc<[CancellationToken; GROUPS]>,
    next: Arc<AtomicUsize>,
}

impl DrainSchedule {
    pub(crate) fn new() -> Self {
        Self {
            groups: Arc::new(array::from_fn(|_| CancellationToken::new())),
            next: Arc::default(),
        }
    }

    /// Adds a socket or an event stream to a group, and resolves when it must end.
    pub(crate) fn register(&self) -> WaitForCancellationFutureOwned {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % GROUPS;
        let group = self.groups.get(turn).cloned().unwrap_or_default();
        group.cancelled_owned()
    }

    /// Ends one group after the other, within `spread`.
    pub(crate) async fn run(&self, spread: Duration) {
        let mut time = Instant::now();
        for group in self.groups.iter() {
            sleep_until(time).await;
            group.cancel();
            time += spread / u32::try_from(GROUPS).unwrap_or(u32::MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_end_spread_over_the_time() {
        let schedule = DrainSchedule::new();
        let begun = Instant::now();
        let waiting: Vec<_> = (0..640)
            .map(|_| {
                let end = schedule.register();
                tokio::spawn(async move {
                    end.await;
                    Instant::now() - begun
                })
            })
            .collect();
        schedule.run(Duration::from_secs(3)).await;
        let mut in_each_second = [0; 3];
        for left in waiting {
            let after = usize::try_from(left.await.expect("joined").as_secs()).expect("small");
            in_each_second[after] += 1;
        }
        assert!(in_each_second.iter().all(|left| (200..=230).contains(left)));
        tokio::time::timeout(Duration::ZERO, schedule.register())
            .await
            .expect("who comes late leaves at once");
    }
}
