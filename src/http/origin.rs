//! Web pages of other origins: whom CORS lets in, and who may open a socket.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may remember what it was allowed.
const MAX_AGE: Duration = Duration::from_hours(1);

/// Lets pages of `origins` call the gateway. With no origins there is no layer: browsers refuse.
pub(crate) fn cors(origins: &[HeaderValue]) -> Option<CorsLayer> {
    if origins.is_empty() {
        return None;
    }
    let request_id = HeaderName::from_static("x-request-id");
    let layer = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([
            header::ACCEPT,
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            request_id.clone(),
        ])
        .expose_headers([request_id, header::RETRY_AFTER])
        .max_age(MAX_AGE);
    Some(layer)
}

/// Whether the request comes from a page of an origin that is neither ours nor allowed. CORS does not
/// cover sockets, nor requests whose answer the page need not read.
pub(crate) fn is_foreign(headers: &HeaderMap, allowed: &[HeaderValue]) -> bool {
    match headers.get(header::ORIGIN) {
        Some(origin) => !allowed.contains(origin) && !is_own(origin, headers),
        // Browsers leave it out of a GET that stays at home, and of links and images anywhere.
        None => headers
            .get("sec-fetch-site")
            .is_some_and(|site| site != "same-origin" && site != "none"),
    }
}

fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin
        .to_str()
        .ok()
        .and_then(|origin| origin.split_once("://"));
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    matches!((origin, host), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host))
}
