//! Bodies that are sent in time or not at all.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// A body whose pieces are asked for when the connection is about to write them, whatever the request has waited
/// for until then. The last byte is a piece by itself: HTTP/2 may keep the one before for as long as the other
/// side has no room. A request whose body is not whole is none.
pub(super) struct TimelyBody {
    left: Bytes,
    not_after: Instant,
    late: CancellationToken,
}

/// It was too late to send a body.
#[derive(Debug, thiserror::Error)]
#[error("it is too late to send the request")]
pub(super) struct TooLate;

impl TimelyBody {
    /// Cancels `late` when it is.
    pub(super) fn new(bytes: Bytes, not_after: Instant, late: CancellationToken) -> Self {
        Self {
            left: bytes,
            not_after,
            late,
        }
    }
}

impl Body for TimelyBody {
    type Data = Bytes;
    type Error = TooLate;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TooLate>>> {
        if self.left.is_empty() {
            return Poll::Ready(None);
        }
        if Instant::now() >= self.not_after {
            self.late.cancel();
            return Poll::Ready(Some(Err(TooLate)));
        }
        let but_the_last = self.left.len().saturating_sub(1).max(1);
        let piece = self.left.split_to(but_the_last);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left.len() as u64)
    }
}
