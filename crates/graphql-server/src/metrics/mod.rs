//! Metrics of requests, sockets and streams, and the server that Prometheus reads them from.
//!
//! Metrics are handles on atomics. Label values of requests are looked up, never allocated.

mod graphql;
mod http;
mod server;
mod streams;

use prometheus_client::metrics::{family::Family, histogram::Histogram};

pub use graphql::{RequestSeries, RunningRequest};
pub use http::{OpenSocket, ServerMetrics};
pub use prometheus_client::registry::Registry;
pub use server::MetricsServer;
pub use streams::{OpenStream, StreamEnd, StreamWatch, Transport};

/// Histograms of durations in seconds, one for each set of labels.
type Durations<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// Creates a histogram from half a millisecond to minutes.
fn durations() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        60.0, 180.0,
    ])
}
