//! Where a request's body ends: of what was coded in another way than chunks, the server would take the
//! code for the body, and a proxy in front perhaps not (RFC 9112, section 6.1).

use axum::http::{HeaderMap, header};

/// Whether the body comes as it is, or in chunks and nothing else.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}
