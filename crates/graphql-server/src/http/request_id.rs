//! Request ids in responses, in the log and in requests to other services.
//!
//! An id of the sender's is used only where the sender is a trusted proxy: ids are written into records
//! that others read.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use axum::http::{HeaderMap, HeaderValue};
use trace_context::REQUEST_ID;

use super::excerpt;
use crate::request::RequestId;

/// Upper bound of an id's length in bytes.
const MAX_LENGTH: usize = 64;

/// Generates the id of a request: at most 64 letters, digits, dots, hyphens and underscores.
pub type NewRequestId = Arc<dyn Fn() -> String + Send + Sync>;

/// Generates ids by counting, unique within the process.
pub(crate) fn counting() -> NewRequestId {
    let number = AtomicU64::new(1);
    Arc::new(move || format!("{:016x}", number.fetch_add(1, Ordering::Relaxed)))
}

/// Id of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct AssignedId {
    /// Id that is used everywhere.
    pub(super) id: RequestId,
    /// Id that the sender gave and that is not used, escaped for the log.
    pub(super) sent_id: Option<String>,
}

/// Returns the id of the request with these headers; the sender's own where a `trusted` proxy sent it.
pub(super) fn assign(headers: &HeaderMap, trusted: bool, new: &NewRequestId) -> AssignedId {
    let mut sent = headers.get_all(REQUEST_ID).iter();
    let (first, more) = (sent.next(), sent.next());
    let only = first.filter(|_| trusted && more.is_none());
    if let Some(id) = only.and_then(valid) {
        return AssignedId {
            id: RequestId::from(id),
            sent_id: None,
        };
    }
    AssignedId {
        id: RequestId::from(new()),
        sent_id: first.map(|sent| excerpt::escape(sent.as_bytes())),
    }
}

/// Returns the id if it is fit for headers and logs.
fn valid(id: &HeaderValue) -> Option<&str> {
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let id = id.to_str().ok()?;
    ((1..=MAX_LENGTH).contains(&id.len()) && id.bytes().all(safe)).then_some(id)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn assigned(sent: &[&str], trusted: bool) -> AssignedId {
        let values = sent.iter().map(|id| HeaderValue::from_bytes(id.as_bytes()));
        let headers = values.map(|value| (REQUEST_ID, value.expect("a header's value")));
        let new: NewRequestId = Arc::new(|| "generated".to_owned());
        assign(&headers.collect(), trusted, &new)
    }

    #[rstest]
    #[case("abc-1.2_3")]
    #[case(&"x".repeat(64))]
    fn id_of_a_trusted_proxy_is_used(#[case] sent: &str) {
        let assigned_id = assigned(&[sent], true);
        assert_eq!(assigned_id.id.as_str(), sent);
        assert_eq!(assigned_id.sent_id, None);
    }

    #[rstest]
    #[case::none(&[], true, None)]
    #[case::a_stranger(&["abc-1.2_3"], false, Some("abc-1.2_3"))]
    #[case::odd_words(&["a\tb \u{ff}\""], false, Some(r#"a\tb \xc3\xbf\""#))]
    #[case::blanks(&["a b"], true, Some("a b"))]
    #[case::nothing(&[""], true, Some(""))]
    #[case::too_long(&[&"x".repeat(65)[..]], true, Some(&"x".repeat(65)[..]))]
    #[case::far_too_long(&[&"x".repeat(5000)[..]], false, Some(&"x".repeat(100)[..]))]
    #[case::two(&["one", "other"], true, Some("one"))]
    fn other_requests_get_a_generated_id(
        #[case] sent: &[&str],
        #[case] trusted: bool,
        #[case] sent_id: Option<&str>,
    ) {
        let assigned_id = assigned(sent, trusted);
        assert_eq!(assigned_id.id.as_str(), "generated");
        assert_eq!(assigned_id.sent_id.as_deref(), sent_id);
    }
}
