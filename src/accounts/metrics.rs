//! Password hashing, which keeps a core busy and therefore queues, and the limits on tries.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::time::Instant;

use crate::platform::metrics::wide;

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

    pub(crate) fn register(registry: &mut Registry) -> Self {
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

/// Tries that were refused for their number.
#[derive(Clone, Debug, Default)]
pub struct TryMetrics {
    refused: Family<RefusalLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    kind: &'static str,
    limit: &'static str,
}

impl TryMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "tries_refused",
            "Tries that were refused because there had been too many, by kind (password, sign_up, connect, run, status) and by whose limit it was (address, client, client_sign_ins, site, site_sign_ins, user)",
            metrics.refused.clone(),
        );
        // So that the first of each counts as an increase.
        for (kind, limit) in [
            ("password", "address"),
            ("password", "client"),
            ("password", "client_sign_ins"),
            ("password", "site"),
            ("password", "site_sign_ins"),
            ("sign_up", "address"),
            ("sign_up", "client"),
            ("sign_up", "client_sign_ins"),
            ("sign_up", "site"),
            ("sign_up", "site_sign_ins"),
            ("connect", "user"),
            ("run", "user"),
            ("status", "user"),
            ("connect", "client"),
            ("connect", "site"),
        ] {
            drop(
                metrics
                    .refused
                    .get_or_create(&RefusalLabels { kind, limit }),
            );
        }
        metrics
    }

    /// One was refused.
    pub fn refused(&self, kind: &'static str, limit: &'static str) {
        let labels = RefusalLabels { kind, limit };
        self.refused.get_or_create(&labels).inc();
    }
}
