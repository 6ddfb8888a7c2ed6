//! What is counted and measured, and where Prometheus reads it. `docs/metrics.md` lists every metric.
//!
//! There is no global registry: [`Metrics::register`] makes one set, and the composition root hands
//! each part the struct of its area, so several gateways in one process do not mix. Metrics are
//! handles on atomics; label values on the way of a request are looked up, never allocated.
//!
//! A new area gets a struct like those here, with a function that registers each of its metrics under
//! a name and a help text, and a field in [`Metrics`]. What a part knows anyway is not counted but
//! read when Prometheus asks: see [`graphql_server::metrics::sampled`].

mod accounts;
mod audit;
mod database;
mod operations;
mod process;
mod webhooks;

use async_graphql::parser::types::OperationType;
use graphql_server::metrics::ServerMetrics;
use intuned_client::IntunedMetrics;
use prometheus_client::metrics::{family::Family, histogram::Histogram};

pub use prometheus_client::registry::Registry;

pub use accounts::{PasswordMetrics, PendingPassword, TryMetrics};
pub use audit::{AuditMetrics, DropReason};
pub use database::{DatabaseMetrics, watch_pool};
pub use operations::OperationMetrics;
pub use process::register_process;
pub use webhooks::WebhookMetrics;

/// What all names begin with, but for those of the process itself, which are the same everywhere.
pub const PREFIX: &str = "intuned_gateway";

/// The metrics of one gateway, area by area. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    /// Requests, sockets and streams.
    pub http: ServerMetrics,
    /// Calls to Intuned.
    pub intuned: IntunedMetrics,
    /// Attempts to connect, and the exchange between replicas.
    pub operations: OperationMetrics,
    /// Password hashing.
    pub passwords: PasswordMetrics,
    /// Tries that were refused for their number.
    pub tries: TryMetrics,
    /// Statements and connections.
    pub database: DatabaseMetrics,
    /// Audit trails.
    pub audit: AuditMetrics,
    /// Webhooks.
    pub webhooks: WebhookMetrics,
}

impl Metrics {
    /// A fresh set, registered in `registry`. Requests are told apart by the schema's `root_fields`.
    pub fn register(registry: &mut Registry, root_fields: &[(OperationType, String)]) -> Self {
        let registry = registry.sub_registry_with_prefix(PREFIX);
        Self {
            http: ServerMetrics::register(registry, root_fields),
            intuned: IntunedMetrics::register(registry),
            operations: OperationMetrics::register(registry),
            passwords: PasswordMetrics::register(registry),
            tries: TryMetrics::register(registry),
            database: DatabaseMetrics::register(registry),
            audit: AuditMetrics::register(registry),
            webhooks: WebhookMetrics::register(registry),
        }
    }
}

/// Histograms of durations in seconds, one for each set of labels.
type Durations<Labels> = Family<Labels, Histogram, fn() -> Histogram>;

/// For what takes from half a millisecond to minutes: requests, calls to Intuned.
fn wide() -> Histogram {
    Histogram::new([
        0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
        60.0, 180.0,
    ])
}

/// For what should take milliseconds: statements, waits for a connection, notifications.
fn narrow() -> Histogram {
    Histogram::new([
        0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0,
        2.5, 5.0,
    ])
}

/// For what people take part in.
fn long() -> Histogram {
    Histogram::new([
        1.0, 2.5, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0,
    ])
}
