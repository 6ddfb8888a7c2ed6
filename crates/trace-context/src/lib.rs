//! Trace context: the span and the id of the request that code runs for.
//!
//! It is carried from the request's headers through tasks that outlive the request to requests to other
//! services.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context as TaskCx, Poll},
};

use futures_util::{Stream, StreamExt};
use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    Context,
    propagation::TextMapPropagator,
    trace::{SpanContext, TraceContextExt, TraceState},
};
use opentelemetry_http::{HeaderExtractor, HeaderInjector};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tokio::task::JoinHandle;
use tracing::{Instrument, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Header with the id of a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// <https://www.w3.org/TR/trace-context/>
const TRACE_PARENT: HeaderName = HeaderName::from_static("traceparent");

tokio::task_local! {
    static CURRENT_REQUEST: Option<Arc<str>>;
}

/// Span and request id of running code.
#[derive(Clone, Debug)]
pub struct TraceContext {
    span: Span,
    request_id: Option<Arc<str>>,
}

impl TraceContext {
    /// Creates a context with a span and, if it is known, a request id.
    pub fn new(span: Span, request_id: Option<Arc<str>>) -> Self {
        Self { span, request_id }
    }

    /// Returns the context of the running code.
    pub fn current() -> Self {
        Self {
            span: Span::current(),
            request_id: CURRENT_REQUEST.try_with(Clone::clone).ok().flatten(),
        }
    }

    /// Returns the request id, if it is known.
    pub fn request_id(&self) -> Option<&str> {
        self.request_id.as_deref()
    }

    /// Continues the trace in `span`, which may outlive the span of the request.
    #[must_use]
    pub fn child(&self, span: Span) -> Self {
        let context = self.span.context();
        let parent = context.span().span_context().clone();
        if parent.is_valid() {
            let parent = Context::new().with_remote_span_context(parent);
            // Without an exporter there is no trace.
            let _ = span.set_parent(parent);
        }
        Self {
            span,
            request_id: self.request_id.clone(),
        }
    }

    /// Runs a future in this context, wherever it is polled.
    pub fn instrument<F: Future>(self, future: F) -> impl Future<Output = F::Output> + use<F> {
        CURRENT_REQUEST.scope(self.request_id, future.instrument(self.span))
    }

    /// Polls a stream in this context.
    pub fn instrument_stream<S: Stream + Unpin>(self, stream: S) -> Instrumented<S> {
        Instrumented {
            context: self,
            stream,
        }
    }
}

/// Stream that is polled in a context.
#[derive(Debug)]
pub struct Instrumented<S> {
    context: TraceContext,
    stream: S,
}

impl<S: Stream + Unpin> Stream for Instrumented<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, cx: &mut TaskCx<'_>) -> Poll<Option<S::Item>> {
        let Self { context, stream } = self.get_mut();
        CURRENT_REQUEST.sync_scope(context.request_id.clone(), || {
            context.span.in_scope(|| stream.poll_next_unpin(cx))
        })
    }
}

/// Spawns a task in the context of the running code.
pub fn spawn<F>(future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send,
{
    tokio::spawn(TraceContext::current().instrument(future))
}

/// Makes `span` part of the trace in `headers`, if they name one.
pub fn join_trace(span: &Span, headers: &HeaderMap) {
    if let Some(parent) = remote_parent(headers) {
        // Without an exporter there is no trace.
        let _ = span.set_parent(parent);
    }
}

/// Links `span` to the trace in `headers`, and starts another trace.
///
/// Whoever joins a trace has a say in whether it is sampled, and in its contents.
pub fn link_trace(span: &Span, headers: &HeaderMap) {
    let Some(parent) = remote_parent(headers) else {
        return;
    };
    let parent = parent.span().span_context().clone();
    // Without the trace state, which is a text of the sender's.
    span.add_link(SpanContext::new(
        parent.trace_id(),
        parent.span_id(),
        parent.trace_flags(),
        true,
        TraceState::default(),
    ));
}

/// Returns the remote context in the headers, if they have one.
fn remote_parent(headers: &HeaderMap) -> Option<Context> {
    if !headers.contains_key(TRACE_PARENT) {
        return None;
    }
    let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
    let is_valid = parent.span().span_context().is_valid();
    is_valid.then_some(parent)
}

/// Returns the headers that pass on the context of the running code.
pub fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    let trace = TraceContext::current();
    if let Some(Ok(id)) = trace.request_id().map(HeaderValue::from_str) {
        headers.insert(REQUEST_ID, id);
    }
    let context = trace.span.context();
    if context.span().span_context().is_valid() {
        TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(&mut headers));
    }
    headers
}
