//! Request scope: every request gets an id and a span, and every response the common headers.

use std::{mem, net::IpAddr, sync::LazyLock};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use tokio::time::Instant;
use tower::ServiceExt;
use tracing::{Span, field, info, info_span};

use trace_context::{REQUEST_ID, TraceContext};

use super::{
    excerpt::{self, truncate},
    framing, health,
    hints::Hints,
    request_id::{self, AssignedId, NewRequestId},
    response::error_response,
};
use crate::{
    http::media::Media,
    metrics::ServerMetrics,
    net::host::{self, Host},
    options::ServerOptions,
    request::{RequestId, RequestInfo, error::RequestError, page::Page},
};

/// Default headers of responses.
static DEFAULT_HEADERS: LazyLock<HeaderMap> = LazyLock::new(|| {
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

/// Scope of every request, around the routes.
pub(crate) struct RequestScope {
    pub(crate) routes: Router,
    pub(crate) new_request_id: NewRequestId,
    pub(crate) metrics: ServerMetrics,
    pub(crate) options: ServerOptions,
    pub(crate) hints: Hints,
}

impl RequestScope {
    /// Responds to a request within a span, and adds the common headers.
    pub(crate) async fn respond(&self, mut request: Request, peer: IpAddr) -> Response {
        let started = Instant::now();
        let open = self.metrics.open_request();
        let proxies = &self.options.trusted_proxies;
        let trusted = proxies.trusts(peer);
        let headers = request.headers();
        self.hints.proxy(headers, peer, trusted);
        let assigned = request_id::assign(headers, trusted, &self.new_request_id);
        let span = span(&request, &assigned);
        if trusted {
            trace_context::join_trace(&span, headers);
        } else {
            trace_context::link_trace(&span, headers);
        }
        let info = RequestInfo {
            id: assigned.id.clone(),
            client: proxies.client(peer, headers),
            behind_tls: proxies.is_behind_tls(peer, headers),
        };
        let foreign = foreign_origin(Page::new(
            headers,
            info.behind_tls,
            &self.options.allowed_origins,
        ));
        request.extensions_mut().insert(info);
        let trace = TraceContext::new(span.clone(), Some(assigned.id.shared()));
        let mut response = if let Some(error) = self.check(&request) {
            error_response(&error, Media::Json)
        } else {
            let Ok(response) = trace.instrument(self.routes.clone().oneshot(request)).await;
            response
        };
        let status = response.status();
        if let Some(origin) = foreign.filter(|_| status != StatusCode::SWITCHING_PROTOCOLS) {
            self.hints.foreign_page(&origin);
        }
        open.record_status(status.as_u16());
        span.record("status", status.as_u16());
        span.in_scope(|| info!(elapsed_ms = started.elapsed().as_millis(), "answered"));
        add_default_headers(&mut response, &assigned.id);
        response
    }

    /// Returns the error of a request that must not reach a route.
    fn check(&self, request: &Request) -> Option<RequestError> {
        let Ok(host) = host::from_request(request) else {
            return Some(RequestError::Host);
        };
        if !framing::is_plain(request.headers()) {
            return Some(RequestError::TransferCoding);
        }
        if self.options.allowed_hosts.allow(host) || health::is_health_check(request.uri().path()) {
            return None;
        }
        let text = host.map_or("", Host::text);
        self.hints.unknown_host(truncate(text));
        Some(RequestError::Misdirected(self.options.wording.server))
    }
}

/// Returns the origin of a page that browsers keep from reading the response, escaped for the log.
fn foreign_origin(page: Page<'_>) -> Option<String> {
    let origin = page.origin()?;
    page.is_foreign()
        .then(|| excerpt::escape(origin.as_bytes()))
}

/// Creates the span of a request; its operation and status are recorded later.
fn span(request: &Request, assigned: &AssignedId) -> Span {
    info_span!(
        "request",
        method = truncate(request.method().as_str()),
        path = truncate(request.uri().path()),
        request_id = %assigned.id,
        client_request_id = assigned.sent_id,
        operation = field::Empty,
        status = field::Empty,
    )
}

/// Adds the common headers to a response.
fn add_default_headers(response: &mut Response, request_id: &RequestId) {
    let own = mem::replace(response.headers_mut(), DEFAULT_HEADERS.clone());
    let headers = response.headers_mut();
    headers.extend(own);
    if let Ok(value) = HeaderValue::from_str(request_id.as_str()) {
        headers.insert(REQUEST_ID, value);
    }
}
