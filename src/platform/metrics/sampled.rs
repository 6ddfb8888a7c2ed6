//! Gauges that are read when Prometheus asks.

use std::fmt;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{MetricType, gauge::ConstGauge},
};

/// Creates a gauge with the values that `read` returns, one for each value of `label`.
pub fn sampled<F, Values>(
    name: &'static str,
    help: &'static str,
    label: Option<&'static str>,
    read: F,
) -> Box<dyn Collector>
where
    F: Fn() -> Values + Send + Sync + 'static,
    Values: IntoIterator<Item = (&'static str, f64)>,
{
    Box::new(Sampled {
        name,
        help,
        label,
        read,
    })
}

struct Sampled<F> {
    name: &'static str,
    help: &'static str,
    label: Option<&'static str>,
    read: F,
}

impl<F> fmt::Debug for Sampled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sampled").field(&self.name).finish()
    }
}

impl<F, Values> Collector for Sampled<F>
where
    F: Fn() -> Values + Send + Sync + 'static,
    Values: IntoIterator<Item = (&'static str, f64)>,
{
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut metric =
            encoder.encode_descriptor(self.name, self.help, None, MetricType::Gauge)?;
        for (value, gauge) in (self.read)() {
            let labels = self.label.map(|label| (label, value));
            let labels = labels.as_slice();
            ConstGauge::new(gauge).encode(metric.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
