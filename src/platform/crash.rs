//! Points between "request accepted" and "event sent" at which a test build can be made to die, as by
//! `kill -9`. Without the feature `crash-points` nothing of this is in the program.

#[cfg(feature = "crash-points")]
use std::{sync::OnceLock, time::Duration};

/// A place to die at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "crash-points", derive(clap::ValueEnum))]
pub enum Point {
    /// `connectOrangeHrm` was accepted, and nothing is written.
    BeforeRow,
    /// The operation's row stands, and nobody knows of it.
    AfterRow,
    /// The start was sent, and no answer has come.
    StartUnderWay,
    /// Intuned confirmed the start.
    AfterStartAnswer,
    /// Intuned's id of the creation is about to be written.
    BeforeUpstreamIdStored,
    /// A poll was sent, and no answer has come.
    Polling,
    /// A poll was answered with "done".
    AfterDoneRead,
    /// In the transaction that writes DONE, before its COMMIT.
    InsideCommit,
    /// DONE is written, and no follower has been told.
    AfterCommit,
    /// It is written that the user has answered, and the answer is not sent.
    PasscodeMarkedBeforeSent,
    /// The user's answer was sent, and Intuned has not confirmed it.
    PasscodeUnderWay,
    /// Intuned confirmed the user's answer, and the user does not know.
    AfterPasscodeSent,
    /// It is written that a session is to be removed, and Intuned was not asked.
    RemovalNoted,
    /// Intuned deleted the session, and its rows stand.
    RemovalDeleted,
    /// The endpoint took a webhook, and that is not written down.
    WebhookSent,
}

/// A request that takes longer counts as under way.
#[cfg(feature = "crash-points")]
const UNDER_WAY_AFTER: Duration = Duration::from_millis(300);

#[cfg(feature = "crash-points")]
static ARMED: OnceLock<Point> = OnceLock::new();

/// Has the process die at `point`, from now on.
#[cfg(feature = "crash-points")]
pub fn arm(point: Point) {
    ARMED.get_or_init(|| point);
}

/// Dies here if this is the point.
#[cfg(feature = "crash-points")]
pub(crate) fn at(point: Point) {
    if ARMED.get() == Some(&point) {
        std::process::abort();
    }
}

/// Dies while `request` is under way if this is the point. It must be one that gets no answer.
#[cfg(feature = "crash-points")]
pub(crate) async fn during<T>(point: Point, request: impl Future<Output = T>) -> T {
    if ARMED.get() != Some(&point) {
        return request.await;
    }
    tokio::select! {
        answer = request => answer,
        () = tokio::time::sleep(UNDER_WAY_AFTER) => std::process::abort(),
    }
}

/// Does nothing.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub(crate) const fn at(_: Point) {}

/// The request itself.
#[cfg(not(feature = "crash-points"))]
#[inline]
pub(crate) const fn during<F>(_: Point, request: F) -> F {
    request
}
