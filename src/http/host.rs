//! Which host a request is for: with two answers to that, a proxy in front and the gateway could go by
//! different ones (RFC 9112, section 3.2).

use axum::{
    extract::Request,
    http::{Version, header},
};

/// Whether the request names one host; before HTTP/1.1 it need not.
pub(crate) fn is_clear(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(_), None) => true,
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}
