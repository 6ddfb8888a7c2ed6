//! Reasons for the end of a session.

use tokio_tungstenite::tungstenite::Error as SocketError;

use super::close::Close;
use crate::metrics::StreamEnd;

/// Reason for the end of a session.
pub(super) enum End {
    /// Server closes the socket.
    Close(Close),
    /// Peer closes the socket.
    Closed,
    /// Peer is gone.
    Gone,
}

impl From<Close> for End {
    fn from(close: Close) -> Self {
        Self::Close(close)
    }
}

impl End {
    /// Returns the metrics' labels: why the subscriptions end, and why the socket does.
    pub(super) fn labels(&self) -> (StreamEnd, &'static str) {
        match self {
            Self::Close(Close::Restart) => (StreamEnd::Stopping, Close::Restart.name()),
            Self::Close(close) => (StreamEnd::Closed, close.name()),
            Self::Closed => (StreamEnd::Client, "client"),
            Self::Gone => (StreamEnd::Client, "lost"),
        }
    }
}

/// Returns the end of a session whose input could not be read.
pub(super) fn read_error(error: &SocketError) -> End {
    match error {
        SocketError::Capacity(_) => Close::TooBig.into(),
        SocketError::Utf8(_) => Close::Encoding.into(),
        SocketError::Protocol(_) => Close::Protocol.into(),
        _ => End::Gone,
    }
}
