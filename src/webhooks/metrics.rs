//! Webhooks: how deliveries go, and what waits.

use std::sync::{Arc, atomic::AtomicU64};

use chrono::TimeDelta;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Webhooks. Clones share everything.
#[derive(Clone, Debug, Default)]
pub struct WebhookMetrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    deliveries: Family<DeliveryLabels, Counter>,
    delay: Histogram,
    waiting: Gauge,
    oldest: Gauge<f64, AtomicU64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeliveryLabels {
    event: &'static str,
    outcome: &'static str,
}

impl Default for Inner {
    fn default() -> Self {
        Self {
            deliveries: Family::default(),
            // From at once to after the last pause between tries.
            delay: Histogram::new([
                0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 3600.0,
                21_600.0, 86_400.0, 259_200.0,
            ]),
            waiting: Gauge::default(),
            oldest: Gauge::default(),
        }
    }
}

impl WebhookMetrics {
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let inner = Inner::default();
        registry.register(
            "webhook_deliveries",
            "Tries to deliver a webhook from here, by event and outcome: delivered, failed (to be tried again), dead (given up)",
            inner.deliveries.clone(),
        );
        registry.register_with_unit(
            "webhook_delay",
            "Time from what happened to a connection until the endpoint had taken the webhook",
            Unit::Seconds,
            inner.delay.clone(),
        );
        registry.register(
            "webhooks_waiting",
            "Webhooks of all replicas that are still to be delivered",
            inner.waiting.clone(),
        );
        registry.register_with_unit(
            "webhook_oldest_age",
            "Age of the oldest webhook that is still to be delivered; 0 when there is none",
            Unit::Seconds,
            inner.oldest.clone(),
        );
        // So that the first of each counts as an increase.
        for event in [
            "connection.created",
            "connection.renewed",
            "connection.expired",
            "connection.removed",
        ] {
            for outcome in ["delivered", "failed", "dead"] {
                let labels = DeliveryLabels { event, outcome };
                drop(inner.deliveries.get_or_create(&labels));
            }
        }
        Self(Arc::new(inner))
    }

    /// The endpoint took one, so long after what it tells of.
    pub fn delivered(&self, event: &'static str, after: TimeDelta) {
        self.count(event, "delivered");
        self.0.delay.observe(seconds(after));
    }

    /// The endpoint did not take one, and it is to be tried again.
    pub fn failed(&self, event: &'static str) {
        self.count(event, "failed");
    }

    /// One was given up.
    pub fn dead(&self, event: &'static str) {
        self.count(event, "dead");
    }

    /// So many wait, on all replicas, the oldest for so long.
    pub fn waiting(&self, count: i64, oldest: TimeDelta) {
        self.0.waiting.set(count);
        self.0.oldest.set(seconds(oldest));
    }

    fn count(&self, event: &'static str, outcome: &'static str) {
        let labels = DeliveryLabels { event, outcome };
        self.0.deliveries.get_or_create(&labels).inc();
    }
}

/// Replicas' clocks differ, so it may seem negative.
fn seconds(span: TimeDelta) -> f64 {
    span.to_std().unwrap_or_default().as_secs_f64()
}
