//! Server-sent events, as graphql-sse's distinct connections mode has them: one operation for each
//! request, `next` for each of its answers, `complete` after the last.

use std::{convert::Infallible, sync::Arc};

use async_graphql::{Executor, parser::types::OperationType};
use axum::{
    body::Body,
    http::{HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures_util::{
    StreamExt,
    future::{self, Either, FutureExt},
    stream,
};
use tokio::time::{Instant, interval_at};

use super::{
    answer::Answer,
    gateway::{Gateway, Operation},
    media::Media,
    refusal::Refusal,
};
use crate::{
    accounts::Caller,
    metrics::{StreamEnd, StreamWatch, Transport},
    telemetry::Trail,
};

/// Keeps the connection from looking dead.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// Browsers drop an event that has no `data` line.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");

/// Answers the operation as an event stream.
///
/// The stream breaks off, with no `complete`, when the caller's session ends or the server stops:
/// clients then come back by themselves.
pub(crate) fn stream<E: Executor>(
    gateway: &Arc<Gateway<E>>,
    operation: Operation,
    caller: Option<Caller>,
) -> Result<Response, Refusal> {
    let seat = match operation.kind {
        OperationType::Subscription => Some(gateway.seat(caller).ok_or(Refusal::TooManyStreams)?),
        OperationType::Query | OperationType::Mutation => None,
    };
    let session_ended = match caller {
        Some(caller) => gateway.authenticator.session_ended(caller),
        None => future::pending().boxed(),
    };
    let watch = StreamWatch::new(Transport::EventStream);
    let answers = gateway.stream(operation, &watch);
    let answers = Trail::current().follow_stream(answers);
    let shutdown = gateway.shutdown.clone().cancelled_owned();
    let over = future::select(session_ended, Box::pin(shutdown)).map(move |over| {
        watch.ends(match over {
            Either::Left(_) => StreamEnd::Closed,
            Either::Right(_) => StreamEnd::Stopping,
        });
    });
    let events = answers
        .map(move |answer| {
            let _ = &seat;
            next(&answer)
        })
        .chain(stream::once(future::ready(COMPLETE)))
        .take_until(over);
    let period = gateway.settings.keep_alive;
    let quiet = interval_at(Instant::now() + period, period);
    let events = tokio_stream::StreamExt::timeout_repeating(events, quiet)
        .map(|event| event.unwrap_or(COMMENT));
    // Some browsers take note of the answer only once there is something to read.
    let body = stream::once(future::ready(COMMENT)).chain(events);
    let mut response = Body::from_stream(body.map(Ok::<_, Infallible>)).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, Media::EventStream.header());
    // Asks nginx not to hold events back.
    headers.insert(
        HeaderName::from_static("x-accel-buffering"),
        HeaderValue::from_static("no"),
    );
    Ok(response)
}

/// JSON has no line breaks, so one `data` line holds it.
fn next(answer: &Answer) -> Bytes {
    let data = serde_json::to_string(answer).unwrap_or_default();
    format!("event: next\ndata: {data}\n\n").into()
}
