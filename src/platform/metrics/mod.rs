//! Metrics that every part uses: histograms, gauges that are read when Prometheus asks, and the process itself.

mod process;
mod sampled;

use prometheus_client::metrics::{family::Family, histogram::Histogram};

pub use process::{register_build, register_process};
pub use sampled::sampled;

/// Histograms of durations in seconds, one for each set of labels.
pub(crate) type Durations<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// A histogram for what takes from half a millisecond to minutes: hashing passwords.
pub(crate) fn wide() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        60.0, 180.0,
    ])
}

/// A histogram for what should take milliseconds: statements, waits for a connection, notifications.
pub(crate) fn narrow() -> Histogram {
    Histogram::new([
        0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
        2.5, 5.0,
    ])
}

/// A histogram for what people take part in.
pub(crate) fn long() -> Histogram {
    Histogram::new([
        1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
    ])
}
