//! Sessions of browsers: the cookie of a request, and whether it may be used.

use axum::http::{HeaderMap, HeaderValue, header};
use cookie::Cookie;
use secrecy::SecretString;

use super::{caller::bearer_token, origin, refusal::Refusal};
use crate::graphql::session_cookie::{PLAIN_NAME, SECURE_NAME, SessionCookie};

/// The header by which a page asks for its session to be kept in a cookie: `x-session: cookie`. A page
/// of another origin cannot send it: CORS does not list it.
const SESSION: &str = "x-session";

/// The token that the request brings: of its `Authorization` header or, where there is none, of its cookie.
///
/// # Errors
///
/// [`Refusal::Origin`] when a page of another origin would use the cookie.
pub(crate) fn session_token(
    headers: &HeaderMap,
    allowed_origins: &[HeaderValue],
) -> Result<Option<SecretString>, Refusal> {
    if headers.contains_key(header::AUTHORIZATION) {
        return Ok(bearer_token(headers));
    }
    match cookie_token(headers) {
        Some(_) if origin::is_foreign(headers, allowed_origins) => Err(Refusal::Origin),
        token => Ok(token),
    }
}

/// How the request stands to the cookie.
pub(crate) fn session_cookie(headers: &HeaderMap) -> SessionCookie {
    let origin = headers.get(header::ORIGIN);
    SessionCookie {
        wanted: headers.get(SESSION).is_some_and(|value| value == "cookie"),
        sent: cookie_token(headers).is_some(),
        secure: origin.is_some_and(|origin| origin.as_bytes().starts_with(b"https://")),
    }
}

/// The `Secure` cookie comes first: on plain http anybody on the way can set the other one. They can also
/// make up a page there, and browsers send it the `Secure` cookie along to a socket over https: such a
/// page has no use of it.
fn cookie_token(headers: &HeaderMap) -> Option<SecretString> {
    if !headers.contains_key(header::COOKIE) {
        return None;
    }
    let origin = headers.get(header::ORIGIN);
    let plain = origin.is_some_and(|origin| origin.as_bytes().starts_with(b"http://"));
    let secure = (!plain).then(|| find(headers, SECURE_NAME)).flatten();
    secure.or_else(|| find(headers, PLAIN_NAME))
}

fn find(headers: &HeaderMap, name: &str) -> Option<SecretString> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(Cookie::split_parse)
        .filter_map(Result::ok)
        .find(|cookie| cookie.name() == name && !cookie.value().is_empty())
        .map(|cookie| cookie.value().into())
}
