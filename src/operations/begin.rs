//! Beginning to connect, and answering, as often as a user and a client may.

use std::time::Duration;

use tokio::time::sleep;
use uuid::Uuid;

use super::{
    error::OperationError,
    model::{Credentials, Operation},
    service::{Answer, Operations},
};
use crate::{
    accounts::{AccountError, Accounts},
    audit::Origin,
};

/// The time by which an attempt that was sent at the same time has begun.
const LOOK_AGAIN: Duration = Duration::from_millis(200);

/// Begins to connect, and answers. Clones share everything.
#[derive(Clone, Debug)]
pub struct Attempts {
    accounts: Accounts,
    operations: Operations,
}

/// The reason why an attempt did not begin, or was not answered.
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

    /// The operation of an attempt that was refused: the same may have been sent several times at once, and the
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

    /// Begins to connect, as [`Operations::connect`]. An attempt is counted before anything is written or sent: each one
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

    /// Answers, as [`Operations::resume`]. What comes to nothing is counted; after too much of it nothing is written or sent.
    ///
    /// # Errors
    /// [`AttemptError`].
    pub async fn answer(
        &self,
        user_id: Uuid,
        answer: Answer,
        origin: Origin,
    ) -> Result<Operation, AttemptError> {
        // Of what is not sent Intuned's reasons are told, or the user's own.
        self.operations.check_answer(user_id, &answer).await?;
        self.accounts.check_answers(user_id).await?;
        let this = self.clone();
        // It is counted although whoever sent it has gone.
        let answering = trace_context::spawn(async move {
            let answered = this.operations.resume(user_id, answer, origin).await;
            if let Err(OperationError::AnswerUndelivered(_)) = answered {
                this.accounts.count_answer(user_id).await;
            }
            answered
        });
        let answered = answering.await;
        Ok(answered.unwrap_or(Err(OperationError::ShuttingDown))?)
    }
}
