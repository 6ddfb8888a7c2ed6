//! Metrics of the transports: requests by status, sockets, and subscriptions by transport.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use async_graphql::parser::types::OperationType as Kind;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::graphql::{GraphqlMetrics, RequestSeries};

/// Counts requests, sockets and subscriptions. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct ServerMetrics {
    answers: Family<StatusLabels, Counter>,
    in_flight: Gauge,
    sockets: Gauge,
    sockets_closed: Family<ReasonLabels, Counter>,
    streams: Family<TransportLabels, Gauge>,
    streams_ended: Family<StreamLabels, Counter>,
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

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TransportLabels {
    transport: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StreamLabels {
    transport: &'static str,
    reason: &'static str,
}

/// Transport of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// `graphql-transport-ws`.
    WebSocket,
    /// Server-sent events.
    EventStream,
    /// Apollo's multipart protocol.
    Multipart,
}

/// Reason for the end of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum StreamEnd {
    /// Client completed it, or is gone.
    Client,
    /// Last result was sent.
    Complete,
    /// Subscription was not executed.
    Refused,
    /// Server closed its connection.
    Closed,
    /// Server stops.
    Stopping,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 3] = [Self::WebSocket, Self::EventStream, Self::Multipart];

    fn name(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::EventStream => "sse",
            Self::Multipart => "multipart",
        }
    }
}

impl StreamEnd {
    const ALL: [Self; 5] = [
        Self::Client,
        Self::Complete,
        Self::Refused,
        Self::Closed,
        Self::Stopping,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Complete => "complete",
            Self::Refused => "refused",
            Self::Closed => "closed",
            Self::Stopping => "stopping",
        }
    }
}

impl ServerMetrics {
    /// Registers the metrics in `registry`, with the schema's `root_fields` as labels.
    pub fn register(registry: &mut Registry, root_fields: &[(Kind, String)]) -> Self {
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
        registry.register(
            "subscriptions_open",
            "Subscriptions that are running, by transport",
            metrics.streams.clone(),
        );
        registry.register(
            "subscriptions_ended",
            "Subscriptions that have ended, by transport and reason",
            metrics.streams_ended.clone(),
        );
        metrics.create_zero_series();
        metrics
    }

    /// Creates series with the value zero, so that the first event counts as an increase.
    fn create_zero_series(&self) {
        drop(self.answers.get_or_create(&StatusLabels { status: 200 }));
        for reason in ["client", "lost", "restart"] {
            drop(self.sockets_closed.get_or_create(&ReasonLabels { reason }));
        }
        for transport in Transport::ALL.map(Transport::name) {
            drop(self.streams.get_or_create(&TransportLabels { transport }));
            for reason in StreamEnd::ALL.map(StreamEnd::name) {
                let labels = StreamLabels { transport, reason };
                drop(self.streams_ended.get_or_create(&labels));
            }
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
        let transport = watch.transport.name();
        let open = self
            .streams
            .get_or_create_owned(&TransportLabels { transport });
        open.inc();
        OpenStream {
            open,
            ended: self.streams_ended.clone(),
            watch: watch.clone(),
            end: None,
        }
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

/// State that the subscriptions of one connection share: the reason for its end.
#[derive(Clone, Debug)]
pub struct StreamWatch {
    transport: Transport,
    end: Arc<AtomicU8>,
}

impl StreamWatch {
    /// Creates the state of one connection.
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            transport,
            end: Arc::default(),
        }
    }

    /// Sets the reason for the end of subscriptions that are dropped from now on.
    pub(crate) fn set_end(&self, end: StreamEnd) {
        self.end.store(end as u8, Ordering::Relaxed);
    }

    fn end(&self) -> StreamEnd {
        let end = self.end.load(Ordering::Relaxed);
        let known = StreamEnd::ALL.into_iter().find(|known| *known as u8 == end);
        known.unwrap_or(StreamEnd::Client)
    }
}

/// Subscription that is running.
#[derive(Debug)]
pub struct OpenStream {
    open: Gauge,
    ended: Family<StreamLabels, Counter>,
    watch: StreamWatch,
    end: Option<StreamEnd>,
}

impl OpenStream {
    /// Sets the reason for the end of the subscription, unless it has one.
    pub(crate) fn set_end(&mut self, end: StreamEnd) {
        self.end.get_or_insert(end);
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        self.open.dec();
        let end = self.end.unwrap_or_else(|| self.watch.end());
        let labels = StreamLabels {
            transport: self.watch.transport.name(),
            reason: end.name(),
        };
        self.ended.get_or_create(&labels).inc();
    }
}
