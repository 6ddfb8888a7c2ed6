//! What can go wrong between the gateway and Intuned.

use std::time::Duration;

/// Why a call did not bring an answer. No variant carries what was sent, or Intuned's own words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IntunedError {
    /// No connection could be made: Intuned has certainly not seen the request.
    #[error("no connection to Intuned could be made")]
    Unreachable,
    /// No answer in time; Intuned may have acted.
    #[error("Intuned did not answer in time")]
    TimedOut,
    /// The connection broke before the answer was whole; Intuned may have acted.
    #[error("the connection to Intuned broke off")]
    Broken,
    /// 429, or not sent because of one: not acted on.
    #[error("Intuned asks for fewer requests")]
    RateLimited {
        /// What `Retry-After` said, at most 60 s, or what is left of it.
        retry_after: Option<Duration>,
    },
    /// Turned away before it was looked at: 408, 425, or a stream or connection that says so.
    #[error("Intuned turned the request away before it looked at it")]
    NotProcessed {
        /// What `Retry-After` said, at most 60 s.
        retry_after: Option<Duration>,
    },
    /// It took so long until the request could be sent that it was not.
    #[error("it was too late to send the request to Intuned")]
    TooLate,
    /// 401: the API key is wrong or missing.
    #[error("Intuned refused the API key (INTUNED_API_KEY)")]
    Unauthorized,
    /// 403.
    #[error("Intuned forbids this to the API key")]
    Forbidden,
    /// 404.
    #[error("Intuned does not know the object")]
    NotFound,
    /// 409.
    #[error("Intuned reports a conflict")]
    Conflict,
    /// 400, 422 and other 4xx; a redirect too, for none is followed.
    #[error("Intuned refused the request with status {status}")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// 5xx; Intuned may have acted.
    #[error("Intuned failed with status {status}")]
    Server {
        /// The HTTP status.
        status: u16,
        /// What `Retry-After` said, at most 60 s.
        retry_after: Option<Duration>,
    },
    /// A success whose body is longer than it may be; Intuned has acted.
    #[error("Intuned's answer is longer than it may be")]
    TooLong,
    /// A success whose body is no JSON, or lacks what it must have; Intuned has acted.
    #[error("Intuned's answer could not be read: {reason}")]
    Unreadable {
        /// What is wrong with it, in fixed words.
        reason: &'static str,
    },
}

impl IntunedError {
    /// Its name, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::TimedOut => "timed_out",
            Self::Broken => "broken",
            Self::RateLimited { .. } => "rate_limited",
            Self::NotProcessed { .. } => "not_processed",
            Self::TooLate => "too_late",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Refused { .. } => "refused",
            Self::Server { .. } => "server_error",
            Self::TooLong | Self::Unreadable { .. } => "unreadable",
        }
    }

    /// Whether asking again later may help.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable
            | Self::TimedOut
            | Self::Broken
            | Self::RateLimited { .. }
            | Self::NotProcessed { .. }
            | Self::TooLate
            | Self::Server { .. }
            | Self::TooLong
            | Self::Unreadable { .. } => true,
            Self::Unauthorized
            | Self::Forbidden
            | Self::NotFound
            | Self::Conflict
            | Self::Refused { .. } => false,
        }
    }

    /// Whether Intuned may have acted on the request although no good answer came.
    pub fn may_have_acted(&self) -> bool {
        matches!(
            self,
            Self::TimedOut
                | Self::Broken
                | Self::Server { .. }
                | Self::TooLong
                | Self::Unreadable { .. }
        )
    }

    /// How long Intuned asked to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after }
            | Self::NotProcessed { retry_after }
            | Self::Server { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Why a run brought no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// The run's auth session has expired or is gone; the user must connect again.
    #[error("the auth session has expired")]
    SessionExpired {
        /// Intuned's correlation id of it, where sent.
        reference: Option<String>,
    },
    /// The run was made, and Intuned ended it.
    #[error("Intuned ended the run: {0:?}")]
    Ended(RunFailure),
    /// The run brought more than this many bytes, the most that is passed on. It would bring the same again.
    #[error("the run's result is larger than {limit} bytes (MAX_RESULT_BYTES)")]
    TooLarge {
        /// The most that is passed on.
        limit: usize,
    },
    /// The run took longer than it may.
    #[error("the run took too long")]
    TimedOut,
    /// Nothing was begun: Intuned could not be reached, asks for fewer requests, or refuses the key.
    #[error(transparent)]
    NotBegun(IntunedError),
    /// Intuned could not be asked.
    #[error(transparent)]
    Intuned(#[from] IntunedError),
}

/// An end that brought no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunFailure {
    /// Which kind.
    pub kind: RunFailureKind,
    /// Whether running it again, with nothing changed, may work.
    pub retryable: bool,
    /// Intuned's correlation id of it, where sent.
    pub reference: Option<String>,
}

/// Why Intuned ended a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunFailureKind {
    /// The project did not accept what it was asked for.
    ParametersRejected,
    /// The project's own code failed, or gave nothing that can be used.
    ApiFailed,
    /// The result is larger than Intuned passes on.
    ResultTooLarge,
    /// Intuned refuses the operator's account: quota, billing, access.
    NotAllowed,
    /// Intuned failed by itself.
    Upstream,
    /// It took longer than Intuned lets it.
    TimedOut,
    /// Ended by Intuned for another reason.
    Canceled,
}
