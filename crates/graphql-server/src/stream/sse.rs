//! Server-sent events in the distinct connections mode of graphql-sse.
//!
//! Each request has one operation, `next` for each of its results, and `complete` after the last.

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use written_json::Chunk;

use super::{Event, events, stream_response};
use crate::{
    execute::ExecutionResult,
    hooks::Hooks,
    http::{graphql_request::PreparedRequest, media::Media},
    metrics::Transport,
    request::error::RequestError,
    service::GraphqlService,
};

/// Bytes that are sent at a time, and copied if they have line breaks.
const SLICE: usize = 16 * 1024;

/// Comment that keeps the connection from looking dead.
const COMMENT: Bytes = Bytes::from_static(b":\n\n");

/// Last event. Browsers drop events without a `data` line.
const COMPLETE: Bytes = Bytes::from_static(b"event: complete\ndata:\n\n");

/// Responds with the results of the operation as an event stream.
///
/// When the session ends or the server stops, the stream ends without `complete`. Clients then reconnect.
pub(crate) fn respond<H: Hooks>(
    service: &Arc<GraphqlService<H>>,
    prepared: PreparedRequest<H::Session>,
) -> Result<Response, RequestError> {
    let events = events(service, prepared, Transport::EventStream)?;
    let texts = events.filter_map(|event| {
        future::ready(match event {
            Event::Result(result) => Some(stream::iter(next(&result)).left_stream()),
            Event::KeepAlive => Some(stream::iter([COMMENT]).right_stream()),
            Event::Complete => Some(stream::iter([COMPLETE]).right_stream()),
            Event::SessionEnded => None,
        })
    });
    // Some browsers report the response only once there is something to read.
    let start = stream::once(future::ready(COMMENT));
    Ok(stream_response(
        start.chain(texts.flatten()),
        Media::EventStream,
    ))
}

/// Writes a result as one `data` line.
///
/// Line breaks in JSON are between values, so they become blanks. Shared parts are changed in copies,
/// slice by slice.
fn next(result: &ExecutionResult) -> impl Iterator<Item = Bytes> + use<> {
    const BEFORE: &str = "event: next\ndata: ";
    const AFTER: &str = "\n\n";
    let mut event = result.to_json_between(BEFORE, AFTER).unwrap_or_default();
    let own = event.own_mut();
    let end = own.len().saturating_sub(AFTER.len());
    blank_breaks(own.get_mut(BEFORE.len()..end).unwrap_or_default());
    let slices = event.into_chunks_of(SLICE);
    slices.map(|slice| match slice {
        Chunk { bytes, is_shared } if is_shared && has_breaks(&bytes) => {
            let mut line = bytes.to_vec();
            blank_breaks(&mut line);
            line.into()
        }
        Chunk { bytes, .. } => bytes,
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
    fn event_has_one_data_line() {
        let json = WrittenJson::parse(b"[\r\n1.10,\r\"a\\nb\"\n]".to_vec()).unwrap();
        let expected = "event: next\ndata: {\"data\":[  1.10, \"a\\nb\" ]}\n\n";
        assert_eq!(joined(json), expected);
    }

    #[test]
    fn long_event_has_one_data_line_in_slices() {
        let text = format!("[\n{}1\r\n]", "1,\n".repeat(SLICE));
        let expected = text.replace(['\n', '\r'], " ");
        let json = WrittenJson::parse(text.into()).unwrap();
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
