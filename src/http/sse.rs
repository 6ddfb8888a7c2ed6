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

/// One `data` line holds it: line breaks in JSON stand between its values, and are blanks there.
fn next(answer: &Answer) -> Bytes {
    const BEFORE: &str = "event: next\ndata: ";
    const AFTER: &str = "\n\n";
    let mut event = answer.within(BEFORE, AFTER).unwrap_or_default();
    let end = event.len().saturating_sub(AFTER.len());
    for byte in event.get_mut(BEFORE.len()..end).unwrap_or_default() {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
    event.into()
}

#[cfg(test)]
mod tests {
    use async_graphql::Response;

    use super::*;
    use crate::json::WrittenJson;

    #[test]
    fn an_event_has_one_line_of_data() {
        let claims = WrittenJson::check(b"[\r\n1.10,\r\"a\\nb\"\n]".to_vec()).unwrap();
        let event = next(&Answer::from(Response::new(claims)));
        let expected = "event: next\ndata: {\"data\":[  1.10, \"a\\nb\" ]}\n\n";
        assert_eq!(event, expected);
    }
}
