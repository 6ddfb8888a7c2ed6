//! What can go wrong with accounts.

use std::time::Duration;

use sea_orm::DbErr;

/// What can go wrong with accounts.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The address is none.
    #[error("the email address is not valid")]
    InvalidEmail,
    /// The password is too short or too long.
    #[error("a password has 8 to 128 characters")]
    PasswordLength,
    /// The address has an account already.
    #[error("there is an account with this email address")]
    EmailTaken,
    /// A wrong password or an unknown address: which of them is not told.
    #[error("email address or password is wrong")]
    InvalidCredentials,
    /// The token is none of ours, expired, or its session has ended: which of them is not told.
    #[error("the session token is not valid")]
    InvalidToken,
    /// The address or the client has used up its tries.
    #[error("too many tries")]
    TooManyTries {
        /// When the next one is free.
        retry_after: Duration,
    },
    /// The identity provider's keys cannot be had, so whose token it is cannot be told.
    #[error("the identity provider cannot be asked for its keys")]
    NoKeys,
    /// The operator lets nobody open an account here.
    #[error("accounts are not opened here")]
    SignUpClosed,
    /// As many passwords wait to be hashed as may.
    #[error("too many passwords wait to be hashed")]
    Busy,
    /// Hashing failed.
    #[error("password hashing failed: {0}")]
    Hashing(String),
    /// A token could not be signed.
    #[error("signing a token failed")]
    Signing(#[source] jsonwebtoken::errors::Error),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}
