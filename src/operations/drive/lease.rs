//! The lease: this replica's right to drive operations.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

/// A lease holds for `duration` after each sign of life that the database took. Clones are the same lease.
#[derive(Clone, Debug)]
pub(in crate::operations) struct Lease {
    duration: Duration,
    renewed: Arc<Mutex<Option<Instant>>>,
    /// Somebody was told that it is not held, and has let go of what was driven here.
    expired: Arc<AtomicBool>,
}

impl Lease {
    /// A lease that is not held yet.
    pub(in crate::operations) fn new(duration: Duration) -> Self {
        Self {
            duration,
            renewed: Arc::default(),
            expired: Arc::default(),
        }
    }

    /// Tells whether no other replica can have taken over yet.
    pub(in crate::operations) fn is_held(&self) -> bool {
        self.held_until().is_some()
    }

    /// The instant until which no other replica can have taken over; none when one may have already.
    pub(in crate::operations) fn held_until(&self) -> Option<Instant> {
        let renewed = *self.lock();
        let until = renewed.map(|renewed| renewed + self.duration);
        let until = until.filter(|until| *until > Instant::now());
        if until.is_none() {
            self.expired.store(true, Ordering::Relaxed);
        }
        until
    }

    /// Renews the lease, by a sign of life that was begun at this instant.
    pub(in crate::operations) fn renew(&self, begun: Instant) {
        *self.lock() = Some(begun);
    }

    /// Gives the lease up, before its time.
    pub(in crate::operations) fn give_up(&self) {
        *self.lock() = None;
    }

    /// The time for which a sign of life holds.
    pub(in crate::operations) fn duration(&self) -> Duration {
        self.duration
    }

    /// The time since the last sign of life; none before the first.
    pub(in crate::operations) fn age(&self) -> Option<Duration> {
        self.lock().map(|renewed| renewed.elapsed())
    }

    /// Tells whether anybody has found it not held since this was last asked.
    pub(in crate::operations) fn has_expired(&self) -> bool {
        let is_held = self.is_held();
        self.expired.swap(false, Ordering::Relaxed) || !is_held
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn lease_expires_unless_it_is_renewed() {
        let lease = Lease::new(Duration::from_secs(2));
        assert!(!lease.is_held(), "before the first sign of life");
        assert!(lease.has_expired());
        lease.renew(Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        lease.renew(Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(lease.is_held());
        assert!(!lease.has_expired());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!lease.is_held());
    }

    #[tokio::test(start_paused = true)]
    async fn expiry_that_was_noticed_is_told_once_although_it_was_renewed() {
        let lease = Lease::new(Duration::from_secs(2));
        assert!(!lease.is_held());
        lease.renew(Instant::now());
        assert!(lease.has_expired());
        assert!(!lease.has_expired());
    }

    #[tokio::test(start_paused = true)]
    async fn lease_given_up_is_not_held() {
        let lease = Lease::new(Duration::from_secs(2));
        lease.renew(Instant::now());
        lease.give_up();
        assert_eq!(lease.held_until(), None);
    }
}
