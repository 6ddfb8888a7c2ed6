//! Metrics of subscriptions by transport and reason of their end.

use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

/// Subscriptions by transport and reason of their end. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub(super) struct StreamMetrics {
    open: Family<TransportLabels, Gauge>,
    ended: Family<StreamLabels, Counter>,
}

impl StreamMetrics {
    /// Registers the metrics, and creates series with the value zero.
    pub(super) fn register(&self, registry: &mut Registry) {
        registry.register(
            "subscriptions_open",
            "Subscriptions that are running, by transport",
            self.open.clone(),
        );
        registry.register(
            "subscriptions_ended",
            "Subscriptions that have ended, by transport and reason",
            self.ended.clone(),
        );
        for transport in Transport::ALL.map(Transport::name) {
            drop(self.open.get_or_create(&TransportLabels { transport }));
            for reason in StreamEnd::ALL.map(StreamEnd::name) {
                let labels = StreamLabels { transport, reason };
                drop(self.ended.get_or_create(&labels));
            }
        }
    }

    /// Counts a subscription that is open until the returned value is dropped.
    pub(super) fn open(&self, watch: &StreamWatch) -> OpenStream {
        let transport = watch.transport.name();
        let open = self
            .open
            .get_or_create_owned(&TransportLabels { transport });
        open.inc();
        OpenStream {
            open,
            ended: self.ended.clone(),
            watch: watch.clone(),
            end: None,
        }
    }
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
