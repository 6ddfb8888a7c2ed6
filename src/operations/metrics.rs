//! Attempts to connect: how they go, who drives them, and how replicas hear of each other.

use std::{sync::Arc, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

use crate::platform::metrics::{Durations, long, narrow};

/// Attempts to connect. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct OperationMetrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: Family<KindLabels, Counter>,
    ended: Family<EndLabels, Counter>,
    duration: Durations<StatusLabels>,
    polls: Family<ResultLabels, Counter>,
    poll_lateness: Histogram,
    taken_over: Counter,
    leases_expired: Counter,
    bus_lag: Histogram,
    notifications_missed: Counter,
    listener_losses: Counter,
    retries: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct KindLabels {
    kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct EndLabels {
    status: &'static str,
    failure: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabels {
    result: &'static str,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            started: Family::default(),
            ended: Family::default(),
            duration: Durations::new_with_constructor(long),
            polls: Family::default(),
            poll_lateness: narrow(),
            taken_over: Counter::default(),
            leases_expired: Counter::default(),
            bus_lag: narrow(),
            notifications_missed: Counter::default(),
            listener_losses: Counter::default(),
            retries: Counter::default(),
        }
    }
}

impl OperationMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let inner = Inner::default();
        registry.register(
            "operations_started",
            "Operations that were accepted here, by kind",
            inner.started.clone(),
        );
        registry.register(
            "operations_ended",
            "Operations that were ended here, by status and, without success, failure code",
            inner.ended.clone(),
        );
        registry.register_with_unit(
            "operation_duration",
            "How long operations took from being accepted to their end, by status",
            Unit::Seconds,
            inner.duration.clone(),
        );
        registry.register(
            "operation_polls",
            "Times that Intuned was asked how far a sign-in is, by what it answered or what went wrong",
            inner.polls.clone(),
        );
        registry.register_with_unit(
            "operation_poll_lateness",
            "How much later than planned a look at an operation began",
            Unit::Seconds,
            inner.poll_lateness.clone(),
        );
        registry.register(
            "operations_adopted",
            "Operations in flight that were taken over from a replica that stopped or died",
            inner.taken_over.clone(),
        );
        registry.register(
            "lease_lapses",
            "Times that this replica could not give a sign of life for as long as a lease lasts",
            inner.leases_expired.clone(),
        );
        registry.register_with_unit(
            "bus_lag",
            "Time from a change on another replica until its notification was heard and read here, by the replicas' clocks",
            Unit::Seconds,
            inner.bus_lag.clone(),
        );
        registry.register(
            "bus_changes_found",
            "Changes on other replicas that were found by looking, before any notification of them was heard",
            inner.notifications_missed.clone(),
        );
        registry.register(
            "bus_listener_losses",
            "Times that the connection for notifications could not be made or broke",
            inner.listener_losses.clone(),
        );
        registry.register(
            "database_transactions_retried",
            "Transactions that were tried again after a fault that passes",
            inner.retries.clone(),
        );
        inner.begin_at_zero();
        Self(Arc::new(inner))
    }

    /// One was accepted.
    pub fn started(&self, kind: &'static str) {
        self.0.started.get_or_create(&KindLabels { kind }).inc();
    }

    /// One was ended; `failure` is empty for success.
    pub fn ended(&self, status: &'static str, failure: &'static str, took: Duration) {
        let labels = EndLabels { status, failure };
        self.0.ended.get_or_create(&labels).inc();
        let duration = self
            .0
            .duration
            .get_or_create_owned(&StatusLabels { status });
        duration.observe(took.as_secs_f64());
    }

    /// Intuned was asked.
    pub fn polled(&self, result: &'static str) {
        self.0.polls.get_or_create(&ResultLabels { result }).inc();
    }

    /// A look began so much later than planned.
    pub fn looked(&self, late_by: Duration) {
        self.0.poll_lateness.observe(late_by.as_secs_f64());
    }

    /// Operations were taken over.
    pub fn taken_over(&self, count: usize) {
        self.0
            .taken_over
            .inc_by(u64::try_from(count).unwrap_or(u64::MAX));
    }

    /// This replica's lease ran out.
    pub fn lease_expired(&self) {
        self.0.leases_expired.inc();
    }

    /// A change was heard of so long after it was made; clocks may differ, so it may seem negative.
    pub fn heard(&self, after: chrono::TimeDelta) {
        let after = after.to_std().unwrap_or_default();
        self.0.bus_lag.observe(after.as_secs_f64());
    }

    /// A change was found that nothing was heard of.
    pub fn found(&self) {
        self.0.notifications_missed.inc();
    }

    /// There is no connection for notifications.
    pub fn listener_lost(&self) {
        self.0.listener_losses.inc();
    }

    /// A transaction is tried again.
    pub fn retried(&self) {
        self.0.retries.inc();
    }
}

impl Inner {
    /// Begins at zero, so that the first of each counts as an increase.
    fn begin_at_zero(&self) {
        for kind in ["connect", "reconnect"] {
            drop(self.started.get_or_create(&KindLabels { kind }));
        }
        for status in ["done", "failed", "canceled"] {
            drop(self.duration.get_or_create(&StatusLabels { status }));
        }
        let failure = "";
        drop(self.ended.get_or_create(&EndLabels {
            status: "done",
            failure,
        }));
        for failure in [
            "SIGN_IN_REJECTED",
            "UPSTREAM_ERROR",
            "TIMED_OUT",
            "INTERRUPTED",
        ] {
            let status = "failed";
            drop(self.ended.get_or_create(&EndLabels { status, failure }));
        }
        for failure in ["CANCELED_BY_USER", "CANCELED_UPSTREAM"] {
            let status = "canceled";
            drop(self.ended.get_or_create(&EndLabels { status, failure }));
        }
        for result in [
            "pending",
            "in_progress",
            "requested_more_info",
            "done",
            "failed",
        ] {
            drop(self.polls.get_or_create(&ResultLabels { result }));
        }
    }
}
