//! GraphQL over WebSocket: the `graphql-transport-ws` protocol.

mod close;
mod handshake;
mod interruptions;
mod message;
mod outgoing;
mod session;

use std::sync::Arc;

use async_graphql::Executor;
use axum::{http::HeaderMap, response::Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tracing::info_span;

pub(crate) use self::handshake::Handshake;
use self::{close::Close, session::Session};
use super::{
    cookie,
    gateway::{Gateway, Origin},
    handlers::refuse,
    media::Media,
    origin::Page,
};
use crate::telemetry::Trail;

/// Bytes read ahead. Clients send little, and every socket holds this much.
const READ_BUFFER: usize = 1024;

/// Completes the handshake and leaves the socket to its session.
pub(crate) fn open<E: Executor>(
    gateway: Arc<Gateway<E>>,
    handshake: Handshake,
    headers: &HeaderMap,
    caller_origin: Origin,
) -> Response {
    let allowed = &gateway.settings.allowed_origins;
    let page = Page::new(headers, caller_origin.behind_tls, allowed);
    let token = match cookie::session_token(page) {
        Ok(token) => token,
        Err(refusal) => return refuse(&refusal, Media::Json),
    };
    let limit = Some(gateway.settings.socket_message_limit);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(limit)
        .max_frame_size(limit);
    let is_ours = handshake.is_ours();
    let span = info_span!(parent: None, "socket", request_id = %caller_origin.request_id);
    let request_id = caller_origin.request_id.0.clone();
    let task = gateway.tasks.token();
    handshake.complete(config, move |socket| {
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
