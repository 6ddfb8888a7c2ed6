//! What every request goes through: it gets an id and a span, and its answer the headers that all have.

use std::{mem, net::IpAddr, sync::LazyLock};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderValue, header},
    response::Response,
};
use tokio::time::Instant;
use tower::ServiceExt;
use tracing::{field, info, info_span};

use super::{
    forwarded::TrustedProxies, framing, gateway::Origin, handlers::refuse, host, media::Media,
    refusal::Refusal,
};
use crate::{
    ambient::Random,
    graphql::{PeerAddress, RequestId},
    metrics::HttpMetrics,
    telemetry::{self, REQUEST_ID, Trail},
};

/// Bytes of a method, a path or an operation's name that go into the log.
const LOGGED: usize = 100;

/// Headers of every answer that does not set them itself.
static DEFAULTS: LazyLock<HeaderMap> = LazyLock::new(|| {
    let defaults = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ];
    let values = defaults.map(|(name, value)| (name, HeaderValue::from_static(value)));
    HeaderMap::from_iter(values)
});

/// What all requests go through on their way to a route.
pub(crate) struct Front {
    pub(super) routes: Router,
    /// For request ids.
    pub(super) random: Random,
    pub(super) metrics: HttpMetrics,
    pub(super) proxies: TrustedProxies,
}

impl Front {
    /// Gives the request an id and a span, and the answer its id and the security headers.
    pub(crate) async fn answer(&self, mut request: Request, peer: IpAddr) -> Response {
        let started = Instant::now();
        let open = self.metrics.request();
        let request_id = request_id(request.headers(), &self.random);
        let span = info_span!(
            "request",
            method = shorten(request.method().as_str()),
            path = shorten(request.uri().path()),
            %request_id,
            operation = field::Empty,
            status = field::Empty,
        );
        let client = self.proxies.client(peer, request.headers());
        request.extensions_mut().insert(Origin {
            request_id: request_id.clone(),
            peer: PeerAddress(client),
        });
        telemetry::adopt(&span, request.headers());
        let trail = Trail::new(span.clone(), Some(request_id.0.clone()));
        let mut response = if !host::is_clear(&request) {
            refuse(&Refusal::Host, Media::Json)
        } else if !framing::is_plain(request.headers()) {
            refuse(&Refusal::TransferCoding, Media::Json)
        } else {
            let Ok(response) = trail.follow(self.routes.clone().oneshot(request)).await;
            response
        };
        open.answered(response.status().as_u16());
        span.record("status", response.status().as_u16());
        span.in_scope(|| info!(elapsed_ms = started.elapsed().as_millis(), "answered"));

        let own = mem::replace(response.headers_mut(), DEFAULTS.clone());
        let headers = response.headers_mut();
        headers.extend(own);
        if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
            headers.insert(REQUEST_ID, value);
        }
        response
    }
}

/// The caller's own id where it is fit for logs, else a random one.
fn request_id(headers: &HeaderMap, random: &Random) -> RequestId {
    let sent = headers
        .get(REQUEST_ID)
        .and_then(|value| value.to_str().ok());
    match sent.filter(|id| is_safe(id)) {
        Some(id) => RequestId(id.into()),
        None => RequestId(random.uuid().to_string().into()),
    }
}

fn is_safe(id: &str) -> bool {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&id.len()) && id.bytes().all(safe)
}

/// What of the caller's own words goes into the log.
pub(super) fn shorten(text: &str) -> &str {
    text.get(..text.floor_char_boundary(LOGGED))
        .unwrap_or_default()
}
