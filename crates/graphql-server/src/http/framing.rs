//! Framing of request bodies (RFC 9112, section 6.1).
//!
//! With another coding than chunks, the server and a proxy in front could disagree about the end of a
//! body.

use axum::http::{HeaderMap, header};

/// Tells whether the body has no transfer coding other than chunks.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
