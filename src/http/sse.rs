//! Server-sent events, as graphql-sse's distinct connections mode has them: one operation for each
//! request, `next` for each of its answers, `complete` after the last.

use std::sync::Arc;

use async_graphql::Executor;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, future, stream};

use super::{
    answer::Answer,
    gateway::{Gateway, Operation},
    media::Media,
    refusal::Refusal,
    streams::{self, Event},
};
use crate::{accounts::Caller, metrics::Transport};

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
    let events = streams::events(gateway, operation, caller, Transport::EventStream)?;
    let texts = events.filter_map(|event| {
        future::ready(match event {
            Event::Answer(answer) => Some(next(&answer)),
            Event::Quiet => Some(COMMENT),
            Event::Complete => Some(COMPLETE),
            Event::SessionEnded => None,
        })
    });
    // Some browsers take note of the answer only once there is something to read.
    let start = stream::once(future::ready(COMMENT));
    Ok(streams::respond(start.chain(texts), Media::EventStream))
}

/// JSON has no line breaks, so one `data` line holds it.
fn next(answer: &Answer) -> Bytes {
    let data = answer.to_json().unwrap_or_default();
    format!("event: next\ndata: {data}\n\n").into()
}
