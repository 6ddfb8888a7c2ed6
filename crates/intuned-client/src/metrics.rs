//! Metrics of the calls to Intuned.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};

/// Histograms of durations in seconds, one for each set of labels.
type Durations<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// Counts and measures calls to Intuned. Clones share the counts.
#[derive(Clone, Debug)]
pub struct IntunedMetrics {
    calls: Durations<CallLabels>,
    refused: Family<RefusalLabels, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusalLabels {
    purpose: &'static str,
    reason: &'static str,
}

/// A histogram for what takes from half a millisecond to minutes.
fn wide() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        60.0, 180.0,
    ])
}

impl Default for IntunedMetrics {
    fn default() -> Self {
        Self {
            calls: Durations::new_with_constructor(wide),
            refused: Family::default(),
        }
    }
}

impl IntunedMetrics {
    /// Registers them in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_with_unit(
            "upstream_call_duration",
            "How long calls to Intuned took, by call and result",
            Unit::Seconds,
            metrics.calls.clone(),
        );
        registry.register(
            "upstream_calls_refused",
            "Calls to Intuned that were not sent, by purpose (read, run, removal, sign_in) and reason: held, because Intuned asks to be left alone, or busy, because too many were under way",
            metrics.refused.clone(),
        );
        // So that the first of each counts as an increase.
        for purpose in ["read", "run", "removal", "sign_in"] {
            for reason in ["held", "busy"] {
                let labels = RefusalLabels { purpose, reason };
                drop(metrics.refused.get_or_create(&labels));
            }
        }
        for call in ["create.start", "create.result"] {
            let result = "ok";
            drop(metrics.calls.get_or_create(&CallLabels { call, result }));
        }
        metrics
    }

    /// Notes a call that was not sent.
    pub fn refused(&self, purpose: &'static str, reason: &'static str) {
        let labels = RefusalLabels { purpose, reason };
        self.refused.get_or_create(&labels).inc();
    }

    /// Notes a call that has ended.
    pub fn called(&self, call: &'static str, result: &'static str, took: Duration) {
        self.calls
            .get_or_create(&CallLabels { call, result })
            .observe(took.as_secs_f64());
    }
}
