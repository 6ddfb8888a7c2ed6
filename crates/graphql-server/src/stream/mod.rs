//! Event streams over plain HTTP: their permits, keep-alive messages and ends.

pub(crate) mod multipart;
pub(crate) mod sse;

use std::{convert::Infallible, pin::Pin, sync::Arc};

use async_graphql::parser::types::OperationType;
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tokio_util::sync::WaitForCancellationFutureOwned;
use trace_context::{Instrumented, TraceContext};

use crate::{
    execute::ExecutionResult,
    hooks::Hooks,
    http::{graphql_request::PreparedRequest, media::Media},
    metrics::{StreamEnd, StreamWatch, Transport},
    request::error::RequestError,
    service::{GraphqlService, StreamPermit},
};

/// Event of a stream.
#[expect(
    clippy::large_enum_variant,
    reason = "almost all events are results, and none is kept"
)]
enum Event {
    /// Result of the operation.
    Result(ExecutionResult),
    /// Keep-alive message after a pause.
    KeepAlive,
    /// End of the operation; the last event.
    Complete,
    /// End of the session; the last event.
    SessionEnded,
}

struct StreamState {
    results: Instrumented<BoxStream<'static, ExecutionResult>>,
    session_ended: BoxFuture<'static, ()>,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
    keep_alive: Interval,
    watch: StreamWatch,
    _permit: Option<StreamPermit>,
}

/// Returns the events of the operation. They end without a last one when the server stops.
fn events<H: Hooks>(
    service: &Arc<GraphqlService<H>>,
    prepared: PreparedRequest<H::Session>,
    transport: Transport,
) -> Result<impl Stream<Item = Event> + Send + use<H>, RequestError> {
    let PreparedRequest {
        operation, session, ..
    } = prepared;
    let permit = match operation.kind() {
        OperationType::Subscription => {
            let permit = service.stream_permit(session.as_ref());
            Some(permit.ok_or_else(|| service.count_refusal(RequestError::TooManyStreams))?)
        }
        OperationType::Query | OperationType::Mutation => None,
    };
    let session_ended = match &session {
        Some(session) => service.hooks.session_ended(session),
        None => future::pending().boxed(),
    };
    let watch = StreamWatch::new(transport);
    let period = service.options.keep_alive;
    let mut keep_alive = interval_at(Instant::now() + period, period);
    keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let state = StreamState {
        results: TraceContext::current().instrument_stream(service.stream(operation, &watch)),
        session_ended,
        drain: Box::pin(service.drain.register()),
        keep_alive,
        watch,
        _permit: permit,
    };
    Ok(stream::unfold(Some(state), |state| async {
        let mut state = state?;
        let (event, is_last) = state.next().await?;
        Some((event, (!is_last).then_some(state)))
    }))
}

impl StreamState {
    /// Waits for the next event, and tells whether it is the last; none when the server stops.
    async fn next(&mut self) -> Option<(Event, bool)> {
        tokio::select! {
            result = self.results.next() => {
                self.keep_alive.reset();
                Some(match result {
                    Some(result) => (Event::Result(result), false),
                    None => (Event::Complete, true),
                })
            }
            () = &mut self.session_ended => {
                self.watch.set_end(StreamEnd::Closed);
                Some((Event::SessionEnded, true))
            }
            () = &mut self.drain => {
                self.watch.set_end(StreamEnd::Stopping);
                None
            }
            _ = self.keep_alive.tick() => Some((Event::KeepAlive, false)),
        }
    }
}

/// Responds with a stream.
fn stream_response(body: impl Stream<Item = Bytes> + Send + 'static, media: Media) -> Response {
    let mut response = Body::from_stream(body.map(Ok::<_, Infallible>)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.header());
    // Switches the buffer of nginx off.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}
