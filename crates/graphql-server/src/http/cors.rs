//! CORS: the origins and request headers that browsers allow.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::Request,
    http::{HeaderMap, HeaderName, HeaderValue, Method, header},
};
use tower::util::MapRequestLayer;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

use trace_context::REQUEST_ID;

use crate::options::ServerOptions;

/// Time that a browser may cache a preflight response.
const MAX_AGE: Duration = Duration::from_hours(1);

/// Bytes of header names that a preflight may ask for; more are not allowed.
const MAX_LENGTH: usize = 1024;

/// Adds CORS to the routes. Without allowed origins, browsers refuse other origins.
pub(crate) fn add_cors(routes: Router, options: &ServerOptions) -> Router {
    let origins = &options.allowed_origins;
    if origins.is_empty() {
        return routes;
    }
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins.iter().cloned()))
        .allow_methods([Method::GET, Method::POST])
        // Clients and tracing tools send headers of their own, and a name discloses nothing.
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([REQUEST_ID, header::RETRY_AFTER])
        .max_age(MAX_AGE);
    let same_origin: Arc<[HeaderName]> = options.same_origin_headers.clone().into();
    let strip = move |request| strip_same_origin_headers(request, &same_origin);
    routes.layer(cors).layer(MapRequestLayer::new(strip))
}

/// Removes the headers of the own origin from a preflight request.
fn strip_same_origin_headers(mut request: Request, same_origin: &[HeaderName]) -> Request {
    if request.method() == Method::OPTIONS {
        let allowed = allowed_header_names(request.headers(), same_origin);
        let headers = request.headers_mut();
        headers.remove(header::ACCESS_CONTROL_REQUEST_HEADERS);
        if let Some(allowed) = allowed {
            headers.insert(header::ACCESS_CONTROL_REQUEST_HEADERS, allowed);
        }
    }
    request
}

/// Lists the header names that a preflight may have.
///
/// `*` stands for all headers, including those of the own origin, so it is removed.
fn allowed_header_names(headers: &HeaderMap, same_origin: &[HeaderName]) -> Option<HeaderValue> {
    let lines = headers.get_all(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let names = lines
        .iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .filter(|name| !same_origin.contains(name) && name != "*");
    let mut list = String::new();
    for name in names {
        let comma = if list.is_empty() { "" } else { "," };
        if list.len() + comma.len() + name.as_str().len() > MAX_LENGTH {
            break;
        }
        list.push_str(comma);
        list.push_str(name.as_str());
    }
    (!list.is_empty()).then(|| list.try_into().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(&[], None)]
    #[case(&[""], None)]
    #[case(&["content-type,apollographql-client-name"], Some("content-type,apollographql-client-name"))]
    #[case(&["Content-Type , TraceParent"], Some("content-type,traceparent"))]
    #[case(&["baggage", "sentry-trace"], Some("baggage,sentry-trace"))]
    #[case(&["x-session"], None)]
    #[case(&["accept,X-SESSION ,x-sessions"], Some("accept,x-sessions"))]
    #[case(&["*,x-session,accept"], Some("accept"))]
    #[case(&["a b,c:d,\u{fc},,e"], Some("e"))]
    fn preflight_headers_are_filtered(#[case] asked: &[&str], #[case] expected: Option<&str>) {
        let values = asked
            .iter()
            .map(|line| HeaderValue::from_bytes(line.as_bytes()));
        let headers = values.map(|value| {
            let value = value.expect("a header's value");
            (header::ACCESS_CONTROL_REQUEST_HEADERS, value)
        });
        let same_origin = [HeaderName::from_static("x-session")];
        let allowed = allowed_header_names(&headers.collect(), &same_origin);
        assert_eq!(
            allowed.as_ref().map(|value| value.to_str().expect("text")),
            expected
        );
    }

    #[test]
    fn preflight_headers_are_limited_in_length() {
        let mut headers = HeaderMap::new();
        let asked = format!("first,{}", "x-padding,".repeat(1000));
        headers.insert(
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            asked.try_into().expect("a value"),
        );
        let allowed = allowed_header_names(&headers, &[]).expect("names");
        assert!(allowed.as_bytes().starts_with(b"first,x-padding,"));
        assert!(allowed.len() <= MAX_LENGTH && allowed.as_bytes().ends_with(b",x-padding"));
    }
}
