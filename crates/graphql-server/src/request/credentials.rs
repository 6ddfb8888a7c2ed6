//! Credentials: session tokens as the transports carry them.

use axum::http::{HeaderMap, header};
use secrecy::SecretString;

/// The token of an `Authorization: Bearer` header.
pub fn bearer_token(headers: &HeaderMap) -> Option<SecretString> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    strip_bearer(value).map(SecretString::from)
}

/// The text that follows `Bearer` in `value`, if any does.
pub(crate) fn strip_bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
