//! Metrics of GraphQL requests.
//!
//! Their label is the root field, not the operation's name, which clients choose freely.

use std::{collections::HashMap, sync::Arc};

use async_graphql::parser::types::OperationType as Kind;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, histogram::Histogram},
    registry::{Registry, Unit},
};
use tokio::time::Instant;
use tracing::Span;

use super::{Durations, durations};
use crate::document::RootField;

/// Operation label of a request with several root fields, or none that the schema has.
const OTHER: &str = "other";
/// Kind and operation label of a request that failed before its operation was known.
const UNKNOWN: &str = "unknown";
/// Fields that every schema has.
const META_FIELDS: [&str; 3] = ["__typename", "__schema", "__type"];

const OK: &str = "ok";
/// Outcome of a request whose client left before the response.
const ABANDONED: &str = "abandoned";

/// GraphQL requests by kind, root field and outcome.
#[derive(Clone, Debug)]
pub(super) struct GraphqlMetrics {
    requests: Family<RequestLabels, Counter>,
    durations: Durations<OperationLabels>,
    /// Metrics of each root field of the schema, looked up once.
    known: Arc<HashMap<&'static str, HashMap<String, Arc<RequestSeries>>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    kind: &'static str,
    operation: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    kind: &'static str,
    operation: String,
    outcome: String,
}

/// Metrics of all requests of one kind for one root field.
#[derive(Debug)]
pub struct RequestSeries {
    labels: OperationLabels,
    ok: Counter,
    duration: Histogram,
    requests: Family<RequestLabels, Counter>,
}

impl Default for GraphqlMetrics {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl GraphqlMetrics {
    fn new(root_fields: &[RootField]) -> Self {
        let mut metrics = Self {
            requests: Family::default(),
            durations: Durations::new_with_constructor(durations),
            known: Arc::default(),
        };
        let mut known: HashMap<_, HashMap<_, _>> = HashMap::new();
        let meta = META_FIELDS.map(|field| (Kind::Query, field.to_owned()));
        let other =
            [Kind::Query, Kind::Mutation, Kind::Subscription].map(|kind| (kind, OTHER.to_owned()));
        let root_fields = root_fields.iter();
        let root_fields = root_fields.map(|field| (field.kind, field.name.clone()));
        for (kind, field) in root_fields.chain(meta).chain(other) {
            let series = Arc::new(metrics.series_of(name(kind), &field));
            known.entry(name(kind)).or_default().insert(field, series);
        }
        metrics.known = Arc::new(known);
        metrics
    }

    pub(super) fn register(registry: &mut Registry, root_fields: &[RootField]) -> Self {
        let metrics = Self::new(root_fields);
        registry.register(
            "graphql_requests",
            "GraphQL requests that have ended, by kind, root field and outcome: ok, an error code, or abandoned by the client",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "graphql_request_duration",
            "How long queries and mutations ran, and subscriptions until their first event",
            Unit::Seconds,
            metrics.durations.clone(),
        );
        metrics
    }

    /// Returns the metrics of requests for this root field.
    pub(super) fn series(&self, kind: Kind, root_field: Option<&str>) -> Arc<RequestSeries> {
        let fields = self.known.get(name(kind));
        let known = root_field
            .and_then(|field| fields?.get(field))
            .or_else(|| fields?.get(OTHER));
        known.map_or_else(|| Arc::new(self.series_of(name(kind), OTHER)), Arc::clone)
    }

    /// Counts a request that failed before its operation was known.
    pub(super) fn count_refusal(&self, code: &str) {
        self.requests
            .get_or_create(&RequestLabels {
                kind: UNKNOWN,
                operation: UNKNOWN.to_owned(),
                outcome: code.to_owned(),
            })
            .inc();
    }

    fn series_of(&self, kind: &'static str, operation: &str) -> RequestSeries {
        let labels = OperationLabels {
            kind,
            operation: operation.to_owned(),
        };
        RequestSeries {
            ok: self.requests.get_or_create_owned(&labels.with(OK)),
            duration: self.durations.get_or_create_owned(&labels),
            requests: self.requests.clone(),
            labels,
        }
    }
}

impl OperationLabels {
    fn with(&self, outcome: &str) -> RequestLabels {
        RequestLabels {
            kind: self.kind,
            operation: self.operation.clone(),
            outcome: outcome.to_owned(),
        }
    }
}

impl RequestSeries {
    /// Creates the span of a request. On a socket each operation has its own.
    pub fn span(&self) -> Span {
        tracing::debug_span!(
            "graphql",
            kind = self.labels.kind,
            root_field = self.labels.operation
        )
    }

    /// Starts the measurement of a request, which ends when the returned value is dropped.
    pub fn begin(self: &Arc<Self>) -> RunningRequest {
        RunningRequest {
            series: Arc::clone(self),
            started: Instant::now(),
            is_open: true,
        }
    }
}

/// Request that is running.
#[derive(Debug)]
pub struct RunningRequest {
    series: Arc<RequestSeries>,
    started: Instant,
    is_open: bool,
}

impl RunningRequest {
    /// Records the first result of the request, with the code of its error if it has one.
    ///
    /// Later results do not count.
    pub fn record_result(&mut self, code: Option<&str>) {
        if !self.is_open {
            return;
        }
        self.is_open = false;
        let series = &self.series;
        series
            .duration
            .observe(self.started.elapsed().as_secs_f64());
        match code {
            None => series.ok.inc(),
            Some(code) => series
                .requests
                .get_or_create(&series.labels.with(code))
                .inc(),
        };
    }
}

impl Drop for RunningRequest {
    fn drop(&mut self) {
        self.record_result(Some(ABANDONED));
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Query => "query",
        Kind::Mutation => "mutation",
        Kind::Subscription => "subscription",
    }
}
