//! Subscriptions over Apollo's multipart protocol: one part for each result, over plain HTTP.
//!
//! <https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol>

use std::sync::Arc;

use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde_json::json;

use super::{Event, events, respond};
use crate::{
    execute::{ExecutionResult, service::GraphqlService},
    hooks::Hooks,
    http::{handlers::Understood, media::Media},
    metrics::Transport,
    request::error::RequestError,
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
pub(crate) fn stream<H: Hooks>(
    service: &Arc<GraphqlService<H>>,
    understood: Understood<H::Session>,
) -> Result<Response, RequestError> {
    let events = events(service, understood, Transport::Multipart)?;
    let parts = events.flat_map(|event| {
        stream::iter(match event {
            Event::Answer(result) => part(&result),
            Event::Quiet => vec![HEARTBEAT],
            Event::Complete => vec![END],
            Event::SessionEnded => {
                let mut last = part(&ExecutionResult::from(&RequestError::SessionEnded));
                last.push(END);
                last
            }
        })
    });
    let start = stream::iter([START, HEARTBEAT]);
    Ok(respond(start.chain(parts), Media::Multipart))
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
    let text = result.within(&before, &after).unwrap_or_default();
    let pieces = text.into_pieces().into_iter();
    pieces.map(|piece| piece.bytes).collect()
}
