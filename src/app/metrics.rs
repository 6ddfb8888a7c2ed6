//! The metrics of one gateway, put together. `docs/metrics.md` lists every metric.
//!
//! There is no global registry: [`Metrics::register`] makes one set, and the composition root hands
//! each part the struct of its area, so several gateways in one process do not mix. Metrics are
//! handles on atomics; label values on the way of a request are looked up, never allocated.
//!
//! A new area gets a struct of its own, with a function that registers each of its metrics under a name and a
//! help text, and a field in [`Metrics`]. What a part knows anyway is not counted but read when Prometheus
//! asks: see [`sampled`](crate::platform::metrics::sampled).

use graphql_server::{document::RootField, metrics::ServerMetrics};
use intuned_client::IntunedMetrics;
use prometheus_client::registry::Registry;

use crate::{
    accounts::{PasswordMetrics, TryMetrics},
    audit::AuditMetrics,
    operations::OperationMetrics,
    platform::database::DatabaseMetrics,
    webhooks::WebhookMetrics,
};

/// What all names begin with, but for those of the process itself, which are the same everywhere.
pub(super) const PREFIX: &str = "intuned_gateway";

/// The metrics of one gateway, area by area. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Metrics {
    /// Requests, sockets and streams.
    pub(super) http: ServerMetrics,
    /// Calls to Intuned.
    pub(super) intuned: IntunedMetrics,
    /// Attempts to connect, and the exchange between replicas.
    pub(super) operations: OperationMetrics,
    /// Password hashing.
    pub(super) passwords: PasswordMetrics,
    /// Tries that were refused for their number.
    pub(super) tries: TryMetrics,
    /// Statements and connections.
    pub(super) database: DatabaseMetrics,
    /// Audit trails.
    pub(super) audit: AuditMetrics,
    /// Webhooks.
    pub(super) webhooks: WebhookMetrics,
}

impl Metrics {
    /// A fresh set, registered in `registry`. Requests are told apart by the schema's `root_fields`.
    pub(super) fn register(registry: &mut Registry, root_fields: &[RootField]) -> Self {
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
