//! Subscriptions as Apollo's multipart protocol has them: one part for each answer, over plain HTTP.
//!
//! <https://www.apollographql.com/docs/graphos/routing/operations/subscriptions/multipart-protocol>

use std::sync::Arc;

use async_graphql::{Executor, ServerError};
use axum::response::Response;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use serde::Serialize;

use super::{
    answer::Answer,
    gateway::{Gateway, Operation},
    media::Media,
    refusal::Refusal,
    streams::{self, Event},
};
use crate::{accounts::Caller, metrics::Transport};

/// Clients see a part only once the boundary after it is there, so each part ends with the next one's.
const START: Bytes = Bytes::from_static(b"\r\n--graphql");
const HEARTBEAT: Bytes =
    Bytes::from_static(b"\r\ncontent-type: application/json\r\n\r\n{}\r\n--graphql");
const END: Bytes = Bytes::from_static(b"--\r\n");

/// A part; `errors` are those that end the stream.
#[derive(Serialize)]
struct Part<'a> {
    payload: Option<&'a Answer>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
}

/// Answers the subscription part by part.
///
/// When the caller's session ends, an error says so. When the server stops, the stream breaks off with no
/// closing boundary: to clients that is a network error, after which they come back by themselves.
pub(crate) fn stream<E: Executor>(
    gateway: &Arc<Gateway<E>>,
    operation: Operation,
    caller: Option<Caller>,
) -> Result<Response, Refusal> {
    let events = streams::events(gateway, operation, caller, Transport::Multipart)?;
    let parts = events.map(|event| match event {
        Event::Answer(answer) => part(&answer),
        Event::Quiet => HEARTBEAT,
        Event::Complete => END,
        Event::SessionEnded => {
            let mut last = part(&Answer::from(&Refusal::SessionEnded)).to_vec();
            last.extend_from_slice(&END);
            last.into()
        }
    });
    let start = stream::iter([START, HEARTBEAT]);
    Ok(streams::respond(start.chain(parts), Media::Multipart))
}

/// An operation that was not executed has no payload, only what is wrong with it.
fn part(answer: &Answer) -> Bytes {
    let part = if answer.is_request_error() {
        Part {
            payload: None,
            errors: &answer.errors,
        }
    } else {
        Part {
            payload: Some(answer),
            errors: &[],
        }
    };
    let json = serde_json::to_string(&part).unwrap_or_default();
    format!("\r\ncontent-type: application/json\r\n\r\n{json}\r\n--graphql").into()
}
