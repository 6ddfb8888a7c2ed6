//! The errors of commands and questions about operations.

use std::time::Duration;

use uuid::Uuid;

use super::store::StoreError;
use intuned_client::IntunedError;

/// The reason why a command or a question about an operation was refused.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// There is none of that id, or it is somebody else's.
    #[error("there is no such operation")]
    NotFound,
    /// One is in flight already.
    #[error("an operation is in flight")]
    InProgress {
        /// Its id.
        operation_id: Uuid,
    },
    /// The request was answered already, or replaced by a newer one.
    #[error("the info request is no longer open")]
    InfoRequestStale,
    /// An input is not acceptable.
    #[error("{field}: {problem}")]
    Input {
        /// The input's name in the schema.
        field: &'static str,
        /// The problem and what to do, in fixed words.
        problem: &'static str,
    },
    /// The operation has had no change of that number.
    #[error("the operation's last change is number {last}")]
    UnknownSequence {
        /// Its last.
        last: i32,
    },
    /// The user's answer certainly did not reach Intuned; it is asked for again, or still is.
    #[error("the answer could not be passed on")]
    AnswerUndelivered(#[source] IntunedError),
    /// Intuned could not delete the auth session; it is tried again by itself.
    #[error("the auth session could not be deleted")]
    NotRemoved(#[source] IntunedError),
    /// The auth session could not be deleted before, and is tried again by itself, later.
    #[error("the auth session is deleted later")]
    RemovalPending {
        /// The time until then, perhaps.
        retry_after: Duration,
    },
    /// The gateway is going down and takes no new work.
    #[error("the gateway is shutting down")]
    ShuttingDown,
    /// The operation kept changing while a command tried to act on it, or the database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
