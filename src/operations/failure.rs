//! Ends without success, and the words that people are told of them.

/// The reason for an end without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// OrangeHRM did not accept the sign-in.
    SignInRejected,
    /// Intuned could not be reached, refused the gateway, or failed by itself.
    UpstreamError,
    /// The operation's time was up.
    TimedOut,
    /// The gateway stopped before Intuned had confirmed the start.
    Interrupted,
    /// Given up by the user.
    CanceledByUser,
    /// Ended by Intuned.
    CanceledUpstream,
}

/// An end without success.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason.
    pub code: FailureCode,
    /// Words for people: no secrets, no internals.
    pub message: String,
    /// True when connecting again, with nothing changed, may work.
    pub retryable: bool,
    /// Intuned's correlation id, for its support: where Intuned ended it and sent one.
    pub reference: Option<String>,
}

impl Failure {
    /// A failure in the words that clients see.
    pub fn new(code: FailureCode, retryable: bool, message: &str) -> Self {
        Self {
            code,
            message: message.to_owned(),
            retryable,
            reference: None,
        }
    }

    /// The start came to no known end although the gateway was there all the time.
    pub fn start_lost() -> Self {
        Self::new(
            FailureCode::UpstreamError,
            true,
            "Intuned did not confirm that the sign-in began. Connect again.",
        )
    }

    /// The gateway stopped in the middle of the start.
    pub fn interrupted() -> Self {
        Self::new(
            FailureCode::Interrupted,
            true,
            "The gateway stopped before Intuned had confirmed the sign-in. Connect again.",
        )
    }

    /// Intuned refuses the gateway itself.
    pub(super) fn gateway_refused() -> Self {
        Self::new(
            FailureCode::UpstreamError,
            false,
            "Intuned refused the gateway. Whoever runs it has been told.",
        )
    }

    /// Intuned refuses the start.
    pub(super) fn start_refused() -> Self {
        Self::new(
            FailureCode::UpstreamError,
            false,
            "Intuned did not accept this sign-in.",
        )
    }

    /// The start certainly did not reach Intuned.
    pub(super) fn unreachable() -> Self {
        Self::new(
            FailureCode::UpstreamError,
            true,
            "Intuned could not be reached. Connect again in a while.",
        )
    }

    /// The operation's time was up.
    pub(super) fn timed_out() -> Self {
        Self::new(
            FailureCode::TimedOut,
            true,
            "The sign-in took longer than it may. Connect again.",
        )
    }

    /// The user gave the operation up.
    pub(super) fn canceled_by_user() -> Self {
        Self::new(
            FailureCode::CanceledByUser,
            true,
            "You gave up this sign-in.",
        )
    }

    /// Intuned told of a session that was not asked for.
    pub(super) fn astray() -> Self {
        Self::new(
            FailureCode::UpstreamError,
            true,
            "Intuned's answers were about another sign-in. Connect again.",
        )
    }

    /// Intuned has lost the creation.
    pub(super) fn forgotten() -> Self {
        Self::new(
            FailureCode::UpstreamError,
            true,
            "Intuned no longer knows this sign-in. Connect again.",
        )
    }
}
