//! Beginning to connect, as often as a user and a client may.

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use crate::{
    accounts::{AccountError, Accounts},
    audit::Origin,
    operations::{Credentials, Operation, OperationError, Operations},
};

/// By then an attempt that was sent at the same time has begun.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Begins to connect. Clones share everything.
#[derive(Clone, Debug)]
pub struct Attempts {
    accounts: Accounts,
    operations: Operations,
}

/// Why an attempt did not begin.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError {
    /// There were too many.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// An input is not acceptable, one is in flight, or the like.
    #[error(transparent)]
    Operation(#[from] OperationError),
}

impl Attempts {
    /// Counts with `accounts` what `operations` are to begin.
    pub fn new(accounts: Accounts, operations: Operations) -> Self {
        Self {
            accounts,
            operations,
        }
    }

    /// What stands of an attempt that was refused: the same may have been sent several times at once, and the
    /// first of them be about to begin.
    async fn begun(
        &self,
        user_id: Uuid,
        credentials: &Credentials,
        idempotency_key: Option<&str>,
    ) -> Result<Option<Operation>, OperationError> {
        let look = || self.operations.begun(user_id, credentials, idempotency_key);
        let begun = look().await?;
        if begun.is_some() {
            return Ok(begun);
        }
        sleep(LOOK_AGAIN).await;
        look().await
    }

    /// As [`Operations::connect`]. What begins is counted before anything is written or sent: each attempt
    /// is a password that is tried at `OrangeHRM`. A repeat begins nothing.
    ///
    /// # Errors
    /// [`AttemptError`]; nothing has begun.
    pub async fn begin(
        &self,
        user_id: Uuid,
        credentials: Credentials,
        idempotency_key: Option<String>,
        origin: Origin,
    ) -> Result<Operation, AttemptError> {
        let key = idempotency_key.clone();
        Operations::check_input(&credentials, key.as_deref())?;
        match self.accounts.count_connect(user_id, &origin).await {
            Err(too_many @ AccountError::TooManyTries { .. }) => {
                let begun = self.begun(user_id, &credentials, key.as_deref()).await?;
                return begun.ok_or(too_many.into());
            }
            counted => counted?,
        }
        let connecting =
            self.operations
                .connect(user_id, credentials, idempotency_key, origin.clone());
        let connected = connecting.await;
        if !connected.as_ref().is_ok_and(|connected| connected.is_new) {
            self.accounts.give_back_connect(user_id, &origin).await;
        }
        Ok(connected?.operation)
    }
}
