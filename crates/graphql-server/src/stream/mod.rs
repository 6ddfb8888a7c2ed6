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
use trace_context::{Followed, TraceContext};

use crate::{
    execute::{
        ExecutionResult,
        service::{GraphqlService, StreamPermit},
    },
    hooks::Hooks,
    http::{handlers::Understood, media::Media},
    metrics::{StreamEnd, StreamWatch, Transport},
    request::error::RequestError,
};

/// Event of a stream.
#[expect(
    clippy::large_enum_variant,
    reason = "almost all events are answers, and none is kept"
)]
enum Event {
    /// Result of the operation.
    Answer(ExecutionResult),
    /// Keep-alive message after a pause.
    Quiet,
    /// End of the operation; the last event.
    Complete,
    /// End of the session; the last event.
    SessionEnded,
}

struct Open {
    answers: Followed<BoxStream<'static, ExecutionResult>>,
    session_ended: BoxFuture<'static, ()>,
    drain: Pin<Box<WaitForCancellationFutureOwned>>,
    quiet: Interval,
    watch: StreamWatch,
    _permit: Option<StreamPermit>,
}

/// Returns the events of the operation. They end without a last one when the server stops.
fn events<H: Hooks>(
    service: &Arc<GraphqlService<H>>,
    understood: Understood<H::Session>,
    transport: Transport,
) -> Result<impl Stream<Item = Event> + Send + use<H>, RequestError> {
    let Understood {
        operation, session, ..
    } = understood;
    let permit = match operation.kind() {
        OperationType::Subscription => {
            let permit = service.stream_permit(session.as_ref());
            Some(permit.ok_or_else(|| service.refused(RequestError::TooManyStreams))?)
        }
        OperationType::Query | OperationType::Mutation => None,
    };
    let session_ended = match &session {
        Some(session) => service.hooks.session_ended(session),
        None => future::pending().boxed(),
    };
    let watch = StreamWatch::new(transport);
    let period = service.options.keep_alive;
    let mut quiet = interval_at(Instant::now() + period, period);
    quiet.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let open = Open {
        answers: TraceContext::current().follow_stream(service.stream(operation, &watch)),
        session_ended,
        drain: Box::pin(service.drain.join()),
        quiet,
        watch,
        _permit: permit,
    };
    Ok(stream::unfold(Some(open), |open| async {
        let mut open = open?;
        let (event, is_last) = open.next().await?;
        Some((event, (!is_last).then_some(open)))
    }))
}

impl Open {
    /// Waits for the next event, and tells whether it is the last; none when the server stops.
    async fn next(&mut self) -> Option<(Event, bool)> {
        tokio::select! {
            answer = self.answers.next() => {
                self.quiet.reset();
                Some(match answer {
                    Some(answer) => (Event::Answer(answer), false),
                    None => (Event::Complete, true),
                })
            }
            () = &mut self.session_ended => {
                self.watch.ends(StreamEnd::Closed);
                Some((Event::SessionEnded, true))
            }
            () = &mut self.drain => {
                self.watch.ends(StreamEnd::Stopping);
                None
            }
            _ = self.quiet.tick() => Some((Event::Quiet, false)),
        }
    }
}

/// Responds with a stream.
fn respond(body: impl Stream<Item = Bytes> + Send + 'static, media: Media) -> Response {
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
