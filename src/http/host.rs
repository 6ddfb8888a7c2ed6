//! Which host a request is for: with two answers to that, a proxy in front and the gateway could go by
//! different ones (RFC 9112, section 3.2).

use axum::{
    extract::Request,
    http::{Version, header},
    middleware::Next,
    response::Response,
};

use super::{handlers::refuse, media::Media, refusal::Refusal};

/// Lets requests pass that name one host; before HTTP/1.1 they need not.
pub(crate) async fn check(request: Request, next: Next) -> Response {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let is_clear = match (hosts.next(), hosts.next()) {
        (Some(_), None) => true,
        (None, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_)) => false,
    };
    if is_clear {
        next.run(request).await
    } else {
        refuse(&Refusal::Host, Media::Json)
    }
}
