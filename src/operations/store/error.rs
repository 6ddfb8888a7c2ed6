//! The errors of reading and writing operations.

use entity::operation;
use sea_orm::DbErr;
use uuid::Uuid;

use crate::platform::database;

/// A row whose columns contradict each other.
#[derive(Debug, thiserror::Error)]
#[error("operation {id} has status {status:?} without {missing}")]
pub struct InconsistentRow {
    pub(super) id: Uuid,
    pub(super) status: operation::Status,
    pub(super) missing: &'static str,
}

/// The reason why an operation could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has written meanwhile, or the lease is gone; nothing was changed.
    #[error("the operation has changed meanwhile")]
    Superseded,
    /// An id that Intuned told stands for something else already, of somebody else's; nothing was changed.
    #[error("an id of Intuned's is taken")]
    IdTaken,
    /// The idempotency key has begun something else; nothing was changed.
    #[error("the idempotency key has begun something else")]
    KeyReused,
    /// The user's account has been deleted; nothing was changed.
    #[error("the user's account has been deleted")]
    NoUser,
    /// A row makes no sense.
    #[error(transparent)]
    Inconsistent(#[from] InconsistentRow),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl StoreError {
    /// The error of a write that is refused by no other unique index than one of Intuned's ids.
    pub(super) fn of_intuneds_id(error: DbErr) -> Self {
        if database::is_unique_violation(&error) {
            Self::IdTaken
        } else {
            error.into()
        }
    }

    /// True when the same, tried again, may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) if database::is_transient(error))
    }

    /// True when somebody else has locked what was needed.
    pub(super) fn is_locked(&self) -> bool {
        matches!(self, Self::Database(error) if database::is_locked(error))
    }
}
