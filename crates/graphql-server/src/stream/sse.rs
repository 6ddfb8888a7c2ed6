//! Server-sent events, as graphql-sse's distinct connections mode has them: one operation for each
//! request, `next` for each of its answers, `complete` after the last.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use written_json::Piece;

use super::{Event, events, respond};
use crate::{
    execute::{ExecutionResult, service::GraphqlService},
    hooks::Hooks,
    http::{handlers::Understood, media::Media},
    metrics::Transport,
    request::error::RequestError,
};

/// Bytes that are sent at a time, and copied where they have line breaks.
const SLICE: usize = 16 * 1024;

/// Keeps the connection from looking dead.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// Browsers drop an event that has no `data` line.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");

/// Answers the operation as an event stream.
///
/// The stream breaks off, with no `complete`, when the caller's session ends or the server stops:
/// clients then come back by themselves.
pub(crate) fn stream<H: Hooks>(
    service: &Arc<GraphqlService<H>>,
    understood: Understood<H::Session>,
) -> Result<Response, RequestError> {
    let events = events(service, understood, Transport::EventStream)?;
    let texts = events.filter_map(|event| {
        future::ready(match event {
            Event::Answer(result) => Some(stream::iter(next(&result)).left_stream()),
            Event::Quiet => Some(stream::iter([COMMENT]).right_stream()),
            Event::Complete => Some(stream::iter([COMPLETE]).right_stream()),
            Event::SessionEnded => None,
        })
    });
    // Some browsers take note of the answer only once there is something to read.
    let start = stream::once(future::ready(COMMENT));
    Ok(respond(start.chain(texts.flatten()), Media::EventStream))
}

/// One `data` line holds it: line breaks in JSON stand between its values, and are blanks there. What others
/// show, too, is changed in copies, each made when it is its turn to be sent.
fn next(result: &ExecutionResult) -> impl Iterator<Item = Bytes> + use<> {
    const BEFORE: &str = "event: next\ndata: ";
    const AFTER: &str = "\n\n";
    let mut event = result.within(BEFORE, AFTER).unwrap_or_default();
    let own = event.own_mut();
    let end = own.len().saturating_sub(AFTER.len());
    blank_breaks(own.get_mut(BEFORE.len()..end).unwrap_or_default());
    let slices = event.into_slices(SLICE);
    slices.map(|slice| match slice {
        Piece { bytes, is_shared } if is_shared && has_breaks(&bytes) => {
            let mut line = bytes.to_vec();
            blank_breaks(&mut line);
            line.into()
        }
        Piece { bytes, .. } => bytes,
    })
}

fn has_breaks(text: &[u8]) -> bool {
    memchr::memchr2(b'\n', b'\r', text).is_some()
}

fn blank_breaks(text: &mut [u8]) {
    for byte in text {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

#[cfg(test)]
mod tests {
    use written_json::WrittenJson;

    use super::*;

    #[test]
    fn an_event_has_one_line_of_data() {
        let json = WrittenJson::check(b"[\r\n1.10,\r\"a\\nb\"\n]".to_vec()).unwrap();
        let expected = "event: next\ndata: {\"data\":[  1.10, \"a\\nb\" ]}\n\n";
        assert_eq!(joined(json), expected);
    }

    #[test]
    fn so_has_one_of_what_is_long_in_slices() {
        let text = format!("[\n{}1\r\n]", "1,\n".repeat(SLICE));
        let expected = text.replace(['\n', '\r'], " ");
        let json = WrittenJson::check(text.into()).unwrap();
        let result = ExecutionResult::written(json.clone());
        assert!(next(&result).all(|slice| slice.len() <= SLICE));
        let expected = format!("event: next\ndata: {{\"data\":{expected}}}\n\n");
        assert_eq!(joined(json), expected);
    }

    fn joined(json: WrittenJson) -> String {
        let slices = next(&ExecutionResult::written(json));
        let bytes = slices.flat_map(|slice| slice.to_vec()).collect();
        String::from_utf8(bytes).unwrap()
    }
}
