//! What event streams over plain HTTP share, however their events are written: the seat that each takes,
//! signs of life, and what ends them.

use std::{convert::Infallible, pin::Pin, sync::Arc};

use async_graphql::{Executor, parser::types::OperationType};
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
use uuid::Uuid;

use super::{
    answer::Answer,
    gateway::{Gateway, Operation},
    media::Media,
    refusal::Refusal,
    seats::Seat,
};
use crate::{
    accounts::Caller,
    metrics::{StreamEnd, StreamWatch, Transport},
    telemetry::{Followed, Trail},
};

/// What there is to write.
#[expect(
    clippy::large_enum_variant,
    reason = "almost all events are answers, and none is kept"
)]
pub(crate) enum Event {
    /// An answer.
    Answer(Answer),
    /// Nothing has been written for a while.
    Quiet,
    /// The last, when the operation has no more answers.
    Complete,
    /// The last, when the caller's session has ended.
    SessionEnded,
}

struct Open {
    answers: Followed<BoxStream<'static, Answer>>,
    session_ended: BoxFuture<'static, ()>,
    departure: Pin<Box<WaitForCancellationFutureOwned>>,
    quiet: Interval,
    watch: StreamWatch,
    _seat: Option<Seat<Option<Uuid>>>,
}

/// The events of the operation. When the server stops they end with no last one.
pub(crate) fn events<E: Executor>(
    gateway: &Arc<Gateway<E>>,
    operation: Operation,
    caller: Option<Caller>,
    transport: Transport,
) -> Result<impl Stream<Item = Event> + Send + use<E>, Refusal> {
    let seat = match operation.kind {
        OperationType::Subscription => {
            let seat = gateway.seat(caller);
            Some(seat.ok_or_else(|| gateway.refused(Refusal::TooManyStreams))?)
        }
        OperationType::Query | OperationType::Mutation => None,
    };
    let session_ended = match caller {
        Some(caller) => gateway.authenticator.session_ended(caller),
        None => future::pending().boxed(),
    };
    let watch = StreamWatch::new(transport);
    let period = gateway.settings.keep_alive;
    let mut quiet = interval_at(Instant::now() + period, period);
    quiet.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let open = Open {
        answers: Trail::current().follow_stream(gateway.stream(operation, &watch)),
        session_ended,
        departure: Box::pin(gateway.departures.join()),
        quiet,
        watch,
        _seat: seat,
    };
    Ok(stream::unfold(Some(open), |open| async {
        let mut open = open?;
        let (event, is_last) = open.next().await?;
        Some((event, (!is_last).then_some(open)))
    }))
}

impl Open {
    /// The next event and whether it is the last; none when the server stops.
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
            () = &mut self.departure => {
                self.watch.ends(StreamEnd::Stopping);
                None
            }
            _ = self.quiet.tick() => Some((Event::Quiet, false)),
        }
    }
}

/// An answer that is written bit by bit.
pub(crate) fn respond(body: impl Stream<Item = Bytes> + Send + 'static, media: Media) -> Response {
    let mut response = Body::from_stream(body.map(Ok::<_, Infallible>)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, media.header());
    // Asks nginx not to hold anything back.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    response
}
