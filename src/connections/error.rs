//! The errors of reading something of a connection.

use std::time::Duration;

use sea_orm::DbErr;

use crate::accounts::AccountError;
use intuned_client::{IntunedError, RunError};

/// The reason why a status or claims could not be read. All who asked together are told the same.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The user has used up a budget.
    #[error("the user has read too much")]
    TooMuch {
        /// The time until there is something of it again.
        retry_after: Duration,
    },
    /// Intuned could not be asked for a status.
    #[error(transparent)]
    Intuned(#[from] IntunedError),
    /// A run brought no claims.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The database failed.
    #[error(transparent)]
    Database(DbErr),
    /// The work broke off.
    #[error("the work broke off")]
    BrokenOff,
}

/// The error of counting a read, which fails in no other way.
impl From<AccountError> for ReadError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::TooManyTries { retry_after } => Self::TooMuch { retry_after },
            AccountError::Database(error) => Self::Database(error),
            error => Self::Database(DbErr::Custom(error.to_string())),
        }
    }
}
