//! Password hashing, which keeps a core busy and therefore queues.

use prometheus_client::{
    metrics::{gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::time::Instant;

use super::wide;

/// Password hashing.
#[derive(Clone, Debug)]
pub struct PasswordMetrics {
    /// Passwords that wait for a thread, or are being hashed or checked.
    pending: Gauge,
    /// How long hashing or checking one took, with the wait for a thread.
    duration: Histogram,
}

impl Default for PasswordMetrics {
    fn default() -> Self {
        Self {
            pending: Gauge::default(),
            duration: wide(),
        }
    }
}

impl PasswordMetrics {
    /// A password is to be worked on, until the answer is dropped.
    pub fn begin(&self) -> PendingPassword {
        self.pending.inc();
        PendingPassword {
            metrics: self.clone(),
            started: Instant::now(),
        }
    }

    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "password_hashes_pending",
            "Passwords that wait to be hashed or checked, or are just being so",
            metrics.pending.clone(),
        );
        registry.register_with_unit(
            "password_hash_duration",
            "How long hashing or checking a password took, with the wait for its turn",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        metrics
    }
}

/// A password that is being worked on, or waits for that.
#[derive(Debug)]
pub struct PendingPassword {
    metrics: PasswordMetrics,
    started: Instant,
}

impl Drop for PendingPassword {
    fn drop(&mut self) {
        self.metrics.pending.dec();
        let took = self.started.elapsed();
        self.metrics.duration.observe(took.as_secs_f64());
    }
}
