//! GraphQL over WebSocket: the `graphql-transport-ws` protocol.

mod close;
mod interruptions;
mod message;
mod session;

use std::sync::Arc;

use async_graphql::Executor;
use axum::{extract::WebSocketUpgrade, http::HeaderMap, response::Response};
use tracing::info_span;

use self::{close::Close, session::Session};
use super::{
    cookie,
    gateway::{Gateway, Origin},
    handlers::refuse,
    media::Media,
    origin::Page,
};
use crate::telemetry::Trail;

/// The protocol's name in the handshake.
const PROTOCOL: &str = "graphql-transport-ws";

/// Bytes read ahead. Clients send little, and every socket holds this much.
const READ_BUFFER: usize = 1024;

/// Completes the handshake and leaves the socket to its session.
pub(crate) fn open<E: Executor>(
    gateway: Arc<Gateway<E>>,
    upgrade: WebSocketUpgrade,
    headers: &HeaderMap,
    caller_origin: Origin,
) -> Response {
    let page = Page::new(headers, caller_origin.behind_tls);
    let token = match cookie::session_token(page, &gateway.settings.allowed_origins) {
        Ok(token) => token,
        Err(refusal) => return refuse(&refusal, Media::Json),
    };
    let limit = gateway.settings.socket_message_limit;
    let upgrade = upgrade
        .protocols([PROTOCOL])
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(limit)
        .max_frame_size(limit);
    let is_ours = upgrade.selected_protocol().is_some();
    let span = info_span!(parent: None, "socket", request_id = %caller_origin.request_id);
    let request_id = caller_origin.request_id.0.clone();
    let task = gateway.tasks.token();
    upgrade.on_upgrade(move |socket| {
        // Made here, so that its task has room for it once.
        let mut session = Session::new(socket, gateway, caller_origin, token, task);
        let running = async move {
            if is_ours {
                session.run().await;
            } else {
                Box::pin(session.end(Close::Subprotocol.into())).await;
            }
        };
        Trail::new(span, Some(request_id)).follow(running)
    })
}
