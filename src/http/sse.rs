//! Server-sent events, as graphql-sse's distinct connections mode has them: one operation for each
//! request, `next` for each of its answers, `complete` after the last.

use std::{convert::Infallible, sync::Arc};

use async_graphql::{Executor, parser::types::OperationType};
use axum::{
    http::{HeaderName, HeaderValue, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures_util::{
    StreamExt,
    future::{self, FutureExt},
    stream,
};

use super::{
    answer::Answer,
    gateway::{Gateway, Operation},
    media::Media,
    refusal::Refusal,
};
use crate::accounts::Caller;

/// Answers the operation as an event stream.
///
/// The stream breaks off, with no `complete`, when the caller's session ends or the server stops:
/// clients then come back by themselves.
pub(crate) fn stream<E: Executor>(
    gateway: &Arc<Gateway<E>>,
    operation: Operation,
    caller: Option<Caller>,
) -> Result<Response, Refusal> {
    let seat = match caller {
        Some(caller) if operation.kind == OperationType::Subscription => {
            let seat = gateway.seats.take(caller.user_id);
            Some(seat.ok_or(Refusal::TooManyStreams)?)
        }
        _ => None,
    };
    let session_ended = match caller {
        Some(caller) => gateway.authenticator.session_ended(caller),
        None => future::pending().boxed(),
    };
    let shutdown = gateway.shutdown.clone().cancelled_owned();
    let events = gateway
        .stream(operation)
        .map(move |answer| {
            let _ = &seat;
            Ok::<_, Infallible>(next(&answer))
        })
        .chain(stream::once(future::ready(Ok(complete()))))
        .take_until(future::select(session_ended, Box::pin(shutdown)));
    let keep_alive = KeepAlive::new().interval(gateway.settings.keep_alive);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, Media::EventStream.header());
    // Asks nginx not to hold events back.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

fn next(answer: &Answer) -> Event {
    let data = serde_json::to_string(answer).unwrap_or_default();
    Event::default().event("next").data(data)
}

fn complete() -> Event {
    Event::default().event("complete").data("")
}
