//! What it means that no answer came, or not all of it.

use std::error::Error;

use super::IntunedError;

/// What a request that was answered with nothing comes to.
pub(super) fn unanswered(error: &reqwest::Error) -> IntunedError {
    if error.is_builder() || error.is_connect() {
        IntunedError::Unreachable
    } else if error.is_timeout() {
        IntunedError::TimedOut
    } else if is_unprocessed(error) {
        IntunedError::NotProcessed { retry_after: None }
    } else {
        IntunedError::Broken
    }
}

/// What an answer that broke off comes to: whoever began to answer has heard.
pub(super) fn broken_off(error: &reqwest::Error) -> IntunedError {
    if error.is_timeout() {
        IntunedError::TimedOut
    } else {
        IntunedError::Broken
    }
}

/// Whether the request has certainly not been processed: it never left, or the other side said so.
/// <https://www.rfc-editor.org/rfc/rfc9113#section-8.7>
fn is_unprocessed(error: &reqwest::Error) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        let never_left = cause
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_canceled);
        if never_left || cause.downcast_ref().is_some_and(is_turned_away) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// Of a connection that goes away only the streams after the last one that it names end with that; the
/// others end with the connection.
fn is_turned_away(error: &h2::Error) -> bool {
    let is_refused = error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM);
    error.is_remote() && (is_refused || error.is_go_away())
}
