//! The gateway's own accounts: users, their passwords, and their signed-in sessions.

use std::{future::Future, sync::Arc};

use chrono::{DateTime, Utc};
use entity::user;
use sea_orm::{DatabaseConnection, DbErr};
use secrecy::SecretString;
use uuid::Uuid;

use crate::ambient::{Clock, Random};

/// Who sent a request: the holder of a valid session token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The signed-in user.
    pub user_id: Uuid,
    /// The session that the token names.
    pub session_id: Uuid,
    /// When the token stops working by itself.
    pub expires_at: DateTime<Utc>,
}

/// A fresh session and the token for it.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// For `Authorization: Bearer`.
    pub token: SecretString,
    /// When it stops working by itself.
    pub expires_at: DateTime<Utc>,
    /// Whose it is.
    pub user: user::Model,
}

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

/// Opens accounts and sessions, and tells whose session a token is. Clones share everything.
#[derive(Clone, Debug)]
pub struct Accounts {}

#[expect(
    clippy::todo,
    unused_variables,
    clippy::missing_errors_doc,
    clippy::unused_async,
    reason = "skeleton"
)]
impl Accounts {
    /// `secret` signs tokens (setting `AUTH_SECRET`), `lifetime` is how long a session lasts.
    pub fn new(
        database: DatabaseConnection,
        secret: &SecretString,
        lifetime: std::time::Duration,
        clock: Arc<dyn Clock>,
        random: Random,
    ) -> Self {
        todo!()
    }

    /// Opens an account and signs it in.
    pub async fn sign_up(
        &self,
        email: &str,
        password: SecretString,
    ) -> Result<SignedIn, AccountError> {
        todo!()
    }

    /// Signs in.
    pub async fn sign_in(
        &self,
        email: &str,
        password: SecretString,
    ) -> Result<SignedIn, AccountError> {
        todo!()
    }

    /// Ends the session. Its token stops working at once; open sockets hear of it through
    /// [`Accounts::session_ended`].
    pub async fn sign_out(&self, caller: Caller) -> Result<(), AccountError> {
        todo!()
    }

    /// Whose session the token is.
    pub async fn authenticate(&self, token: &str) -> Result<Caller, AccountError> {
        todo!()
    }

    /// Resolves once the caller's session has expired or was ended, on this replica at once,
    /// elsewhere within a few seconds.
    pub fn session_ended(&self, caller: Caller) -> impl Future<Output = ()> + Send + 'static {
        std::future::pending()
    }
}
