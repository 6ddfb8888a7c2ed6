//! Calls to Intuned.

use std::time::Duration;

use prometheus_client::{
    encoding::EncodeLabelSet,
    registry::{Registry, Unit},
};

use super::{Durations, wide};

/// Calls to Intuned.
#[derive(Clone, Debug)]
pub struct IntunedMetrics {
    calls: Durations<CallLabels>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    result: &'static str,
}

impl Default for IntunedMetrics {
    fn default() -> Self {
        Self {
            calls: Durations::new_with_constructor(wide),
        }
    }
}

impl IntunedMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register_with_unit(
            "upstream_call_duration",
            "How long calls to Intuned took, by call and result",
            Unit::Seconds,
            metrics.calls.clone(),
        );
        // So that the first of each counts as an increase.
        for call in ["create.start", "create.result"] {
            let result = "ok";
            drop(metrics.calls.get_or_create(&CallLabels { call, result }));
        }
        metrics
    }

    /// Notes a call that has ended.
    pub fn called(&self, call: &'static str, result: &'static str, took: Duration) {
        self.calls
            .get_or_create(&CallLabels { call, result })
            .observe(took.as_secs_f64());
    }
}
