//! Audit trails.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// Events of audit trails.
#[derive(Clone, Debug, Default)]
pub struct AuditMetrics {
    dropped: Family<DropLabels, Counter>,
}

/// Why an event was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// Too many of the same user's waited.
    User,
    /// Too many of all users' waited.
    All,
    /// The database failed.
    Database,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DropLabels {
    reason: &'static str,
}

impl DropReason {
    fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::All => "all",
            Self::Database => "database",
        }
    }
}

impl AuditMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "audit_events_dropped",
            "Events of audit trails that were not written: too many of their user's or of all users' waited, or the database failed",
            metrics.dropped.clone(),
        );
        // So that the first of each counts as an increase.
        for reason in [DropReason::User, DropReason::All, DropReason::Database] {
            drop(metrics.counter(reason));
        }
        metrics
    }

    /// An event was not written, and will not be.
    pub fn dropped(&self, reason: DropReason) {
        self.counter(reason).inc();
    }

    fn counter(&self, reason: DropReason) -> impl std::ops::Deref<Target = Counter> {
        let reason = reason.name();
        self.dropped.get_or_create(&DropLabels { reason })
    }
}
