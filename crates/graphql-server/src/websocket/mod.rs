//! GraphQL over WebSocket: the `graphql-transport-ws` protocol.

mod close;
mod end;
mod handshake;
mod message;
mod outgoing;
mod session;
mod timers;

use std::sync::Arc;

use axum::{http::HeaderMap, response::Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use trace_context::TraceContext;
use tracing::info_span;

pub(crate) use self::handshake::Handshake;
use self::{close::Close, session::Session};
use crate::{
    hooks::Hooks,
    http::{media::Media, response::error_response},
    request::{RequestInfo, page::Page},
    service::GraphqlService,
};

/// Bytes that are read ahead. Clients send little, and every socket holds this buffer.
const READ_BUFFER: usize = 1024;

/// Completes the handshake and starts the session of the socket.
pub(crate) fn open<H: Hooks>(
    service: Arc<GraphqlService<H>>,
    handshake: Handshake,
    headers: &HeaderMap,
    info: RequestInfo,
) -> Response {
    let options = &service.options;
    let page = Page::new(headers, info.behind_tls, &options.allowed_origins);
    let token = match service.hooks.credentials(page) {
        Ok(token) => token,
        Err(foreign) => return error_response(&foreign.into(), Media::Json),
    };
    let limit = Some(options.socket_message_limit);
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(0)
        .max_message_size(limit)
        .max_frame_size(limit);
    let offers_subprotocol = handshake.offers_subprotocol();
    let span = info_span!(parent: None, "socket", request_id = %info.id);
    let request_id = info.id.shared();
    let task = service.tasks.token();
    handshake.complete(config, move |socket| {
        // Created here, so that its task has room for it once.
        let mut session = Session::new(socket, service, info, token, task);
        let running = async move {
            if offers_subprotocol {
                session.run().await;
            } else {
                Box::pin(session.end(Close::Subprotocol.into())).await;
            }
        };
        TraceContext::new(span, Some(request_id)).instrument(running)
    })
}
