//! Opening handshake of a WebSocket (RFC 6455, section 4.2).

use axum::{
    body::Body,
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header, request::Parts},
    response::Response,
};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

/// Open socket.
pub(super) type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Name of the subprotocol.
const PROTOCOL: &str = "graphql-transport-ws";

/// Version of the WebSocket protocol.
const VERSION: &str = "13";

/// Request to upgrade its connection to a WebSocket.
pub(crate) struct Handshake {
    accept: HeaderValue,
    upgrade: OnUpgrade,
    /// Tells whether the client offers the subprotocol.
    offers_subprotocol: bool,
}

impl Handshake {
    /// Reads a handshake; none when the request is no handshake.
    pub(crate) fn from_parts(parts: &mut Parts) -> Option<Self> {
        let headers = &parts.headers;
        let is_handshake = parts.method == Method::GET
            && contains_token(headers, header::CONNECTION, "upgrade")
            && header_is(headers, header::UPGRADE, "websocket")
            && header_is(headers, header::SEC_WEBSOCKET_VERSION, VERSION);
        let key = headers
            .get(header::SEC_WEBSOCKET_KEY)
            .filter(|_| is_handshake)?;
        let accept = derive_accept_key(key.as_bytes()).try_into().ok()?;
        let offers_subprotocol = offers_protocol(headers);
        let upgrade = parts.extensions.remove()?;
        Some(Self {
            accept,
            upgrade,
            offers_subprotocol,
        })
    }

    /// Tells whether the client offers the subprotocol.
    pub(super) fn offers_subprotocol(&self) -> bool {
        self.offers_subprotocol
    }

    /// Responds to the handshake, and hands the open socket to `serve`.
    pub(super) fn complete<F: Future<Output = ()> + Send>(
        self,
        config: WebSocketConfig,
        serve: impl FnOnce(Socket) -> F + Send + 'static,
    ) -> Response {
        let upgrade = self.upgrade;
        tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                let io = TokioIo::new(upgraded);
                let socket = Socket::from_raw_socket(io, Role::Server, Some(config));
                serve(socket.await).await;
            }
        });
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        let fixed = HeaderValue::from_static;
        headers.insert(header::CONNECTION, fixed("upgrade"));
        headers.insert(header::UPGRADE, fixed("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        if self.offers_subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, fixed(PROTOCOL));
        }
        response
    }
}

fn header_is(headers: &HeaderMap, name: HeaderName, value: &str) -> bool {
    let found = headers.get(name);
    found.is_some_and(|found| found.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
}

fn contains_token(headers: &HeaderMap, name: HeaderName, word: &str) -> bool {
    let found = headers.get(name).and_then(|found| found.to_str().ok());
    found.is_some_and(|found| found.to_ascii_lowercase().contains(word))
}

fn offers_protocol(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|offered| offered.trim_ascii() == PROTOCOL.as_bytes())
}
