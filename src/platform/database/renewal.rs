//! Connections that are of no use any more although they stand: those to a server that has become a standby,
//! or that does not answer. All of them are opened anew, for the address may lead to another server by now.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

/// Connections are not opened anew again for at least this long, and twice as long each time that it did not
/// help: a server that stays read-only, for its disk is full say, must not be stormed.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// After so long without any, the next one is the first.
const FORGOTTEN_AFTER: Duration = Duration::from_mins(1);

/// When all connections were to be opened anew last.
#[derive(Debug)]
pub(super) struct Renewal(watch::Sender<Last>);

#[derive(Clone, Copy, Debug, Default)]
struct Last {
    begun: Option<Instant>,
    pause: Duration,
}

impl Default for Renewal {
    fn default() -> Self {
        Self(watch::Sender::new(Last::default()))
    }
}

impl Renewal {
    /// Has all connections that were opened before now opened anew, unless that was so a moment ago. Answers
    /// whether it does.
    pub(super) fn begin(&self) -> bool {
        self.0.send_if_modified(|last| {
            let ago = last.begun.map(|begun| begun.elapsed());
            last.pause = match ago {
                Some(ago) if ago < last.pause => return false,
                Some(ago) if ago < FORGOTTEN_AFTER => (last.pause * 2).min(LONGEST_PAUSE),
                _ => SHORTEST_PAUSE,
            };
            last.begun = Some(Instant::now());
            true
        })
    }

    /// Whether a connection that was opened so long ago is to be given up.
    pub(super) fn is_outdated(&self, age: Duration) -> bool {
        let begun = self.0.borrow().begun;
        begun.is_some_and(|begun| begun.elapsed() < age)
    }

    /// Changes each time that connections are opened anew.
    pub(super) fn watch(&self) -> Renewed {
        Renewed(self.0.subscribe())
    }
}

/// Tells when all connections are opened anew.
#[derive(Clone, Debug)]
pub struct Renewed(watch::Receiver<Last>);

impl Renewed {
    /// Resolves when that has begun since it was asked last.
    pub async fn next(&mut self) {
        if self.0.changed().await.is_err() {
            // The database is gone, and the process with it.
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn connections_from_before_are_outdated_and_later_ones_are_not() {
        let renewal = Renewal::default();
        assert!(!renewal.is_outdated(Duration::from_hours(1)));
        assert!(renewal.begin());
        advance(Duration::from_secs(10)).await;
        assert!(renewal.is_outdated(Duration::from_secs(11)));
        assert!(!renewal.is_outdated(Duration::from_secs(9)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_stays_of_no_use_is_not_stormed() {
        let renewal = Renewal::default();
        let mut times = 0;
        for _ in 0..600 {
            times += u32::from(renewal.begin());
            advance(Duration::from_millis(100)).await;
        }
        assert!((10..=16).contains(&times), "{times} in a minute");
        advance(FORGOTTEN_AFTER).await;
        assert!(renewal.begin());
        advance(SHORTEST_PAUSE).await;
        assert!(renewal.begin(), "the pause is short again");
    }
}
