//! Subscriptions over Apollo's multipart protocol: one part for each result, over plain HTTP.
//!
//! <https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol>

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::{Event, events, stream_response};
use crate::{
    execute::ExecutionResult,
    hooks::Hooks,
    http::{graphql_request::PreparedRequest, media::Media},
    metrics::Transport,
    request::error::RequestError,
    service::GraphqlService,
};

/// Boundary before the first part. Clients see a part only with the boundary after it, so each part ends
/// with that.
const START: Bytes = Bytes::from_static(b"\r\n--graphql");
const HEARTBEAT: Bytes =
    Bytes::from_static(b"\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql");
const END: Bytes = Bytes::from_static(b"--\r\n");

/// Responds with the results of a subscription, one in each part.
///
/// An error ends the stream when the session ends. When the server stops, the stream ends without a
/// closing boundary. Clients take that for a network error and reconnect.
pub(crate) fn respond<H: Hooks>(
    service: &Arc<GraphqlService<H>>,
    prepared: PreparedRequest<H::Session>,
) -> Result<Response, RequestError> {
    let events = events(service, prepared, Transport::Multipart)?;
    let parts = events.flat_map(|event| {
        stream::iter(match event {
            Event::Result(result) => part(&result),
            Event::KeepAlive => vec![HEARTBEAT],
            Event::Complete => vec![END],
            Event::SessionEnded => {
                let mut last = part(&ExecutionResult::from(&RequestError::SessionEnded));
                last.push(END);
                last
            }
        })
    });
    let start = stream::iter([START, HEARTBEAT]);
    Ok(stream_response(start.chain(parts), Media::Multipart))
}

/// Writes a result. An operation that was not executed has errors and no payload.
fn part(result: &ExecutionResult) -> Vec<Bytes> {
    const BEFORE: &str = "\r\ncontent-type: application/json\r\n\r\n";
    const AFTER: &str = "\r\n--graphql";
    if result.is_request_error() {
        let errors = &result.errors;
        let payload = json!({ "payload": null, "errors": errors });
        return vec![format!("{BEFORE}{payload}{AFTER}").into()];
    }
    let before = format!("{BEFORE}{{\"payload\":");
    let after = format!("}}{AFTER}");
    let text = result.to_json_between(&before, &after).unwrap_or_default();
    let chunks = text.into_chunks().into_iter();
    chunks.map(|chunk| chunk.bytes).collect()
}
