//! Session tokens in headers.

use axum::http::{HeaderMap, header};
use secrecy::SecretString;

/// Returns the token of an `Authorization: Bearer` header.
pub fn bearer_token(headers: &HeaderMap) -> Option<SecretString> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    strip_bearer(value).map(SecretString::from)
}

/// Returns the text after `Bearer`.
pub(crate) fn strip_bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
