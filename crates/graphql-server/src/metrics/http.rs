//! Metrics of the transports: requests by status, and sockets.

use std::sync::Arc;

use async_graphql::parser::types::OperationType as Kind;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::{
    graphql::{GraphqlMetrics, RequestSeries},
    streams::{OpenStream, StreamMetrics, StreamWatch},
};
use crate::document::RootField;

/// Counts requests, sockets and subscriptions. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct ServerMetrics {
    answers: Family<StatusLabels, Counter>,
    in_flight: Gauge,
    sockets: Gauge,
    sockets_closed: Family<ReasonLabels, Counter>,
    streams: StreamMetrics,
    graphql: GraphqlMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabels {
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

impl ServerMetrics {
    /// Registers the metrics in `registry`, with the schema's `root_fields` as labels.
    pub fn register(registry: &mut Registry, root_fields: &[RootField]) -> Self {
        let metrics = Self {
            graphql: GraphqlMetrics::register(registry, root_fields),
            ..Self::default()
        };
        registry.register(
            "http_requests",
            "Requests that were answered, by HTTP status; 101 is a WebSocket",
            metrics.answers.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests whose answer has not begun",
            metrics.in_flight.clone(),
        );
        registry.register(
            "websockets_open",
            "WebSockets that are open",
            metrics.sockets.clone(),
        );
        registry.register(
            "websockets_closed",
            "WebSockets that have ended, by reason: the gateway's for closing it, client, or lost",
            metrics.sockets_closed.clone(),
        );
        metrics.streams.register(registry);
        metrics.create_zero_series();
        metrics
    }

    /// Creates series with the value zero, so that the first event counts as an increase.
    fn create_zero_series(&self) {
        drop(self.answers.get_or_create(&StatusLabels { status: 200 }));
        for reason in ["client", "lost", "restart"] {
            drop(self.sockets_closed.get_or_create(&ReasonLabels { reason }));
        }
    }

    /// Counts a request that is open until the returned value is dropped.
    pub(crate) fn open_request(&self) -> OpenRequest<'_> {
        self.in_flight.inc();
        OpenRequest { metrics: self }
    }

    /// Returns the metrics of GraphQL requests for this root field.
    pub(crate) fn series(&self, kind: Kind, root_field: Option<&str>) -> Arc<RequestSeries> {
        self.graphql.series(kind, root_field)
    }

    /// Counts a GraphQL request that failed before its operation was known.
    pub(crate) fn count_refusal(&self, code: &str) {
        self.graphql.count_refusal(code);
    }

    /// Counts a WebSocket that is open until the returned value is dropped.
    pub(crate) fn open_socket(&self) -> OpenSocket {
        self.sockets.inc();
        OpenSocket {
            metrics: self.clone(),
            reason: "lost",
        }
    }

    /// Counts a subscription that is open until the returned value is dropped.
    pub(crate) fn open_stream(&self, watch: &StreamWatch) -> OpenStream {
        self.streams.open(watch)
    }
}

/// Request without a response.
#[derive(Debug)]
pub(crate) struct OpenRequest<'a> {
    metrics: &'a ServerMetrics,
}

impl OpenRequest<'_> {
    /// Counts the response.
    pub(crate) fn record_status(self, status: u16) {
        self.metrics
            .answers
            .get_or_create(&StatusLabels { status })
            .inc();
    }
}

impl Drop for OpenRequest<'_> {
    fn drop(&mut self) {
        self.metrics.in_flight.dec();
    }
}

/// Open WebSocket.
#[derive(Debug)]
pub struct OpenSocket {
    metrics: ServerMetrics,
    reason: &'static str,
}

impl OpenSocket {
    /// Sets the reason for the end of the socket.
    pub(crate) fn set_end(&mut self, reason: &'static str) {
        self.reason = reason;
    }
}

impl Drop for OpenSocket {
    fn drop(&mut self) {
        self.metrics.sockets.dec();
        let labels = ReasonLabels {
            reason: self.reason,
        };
        self.metrics.sockets_closed.get_or_create(&labels).inc();
    }
}
