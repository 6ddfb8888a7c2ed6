//! Deleting an account for good: first what Intuned has of the user, then what is here.

use std::time::Duration;

use secrecy::SecretString;
use tokio::time::timeout;

use crate::{
    accounts::{AccountError, Accounts, Caller},
    audit::Origin,
    operations::{OperationError, Operations},
};

/// For so long Intuned is waited for. What it has not deleted by then is noted, and deleted later.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is tried against a user who goes on connecting.
const TRIES: usize = 3;

/// Deletes accounts. Clones share everything.
#[derive(Clone, Debug)]
pub struct Departures {
    accounts: Accounts,
    operations: Operations,
}

/// Why an account was not deleted.
#[derive(Debug, thiserror::Error)]
pub enum DepartureError {
    /// The password is wrong, or the like.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// What is in flight could not be cancelled, or the connection's removal not be noted.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// The user goes on connecting.
    #[error("the account kept changing")]
    Busy,
}

impl Departures {
    /// Deletes accounts of `accounts`, after what `operations` have made for them.
    pub fn new(accounts: Accounts, operations: Operations) -> Self {
        Self {
            accounts,
            operations,
        }
    }

    /// Deletes the caller's account, if the password is right: cancels what is in flight, has the auth
    /// session deleted at Intuned, and erases the user. After a crash in between, what was noted for
    /// Intuned is done, and the rest is done when it is asked for again.
    ///
    /// # Errors
    /// [`DepartureError`]; the account stands.
    pub async fn delete(
        &self,
        caller: Caller,
        password: Option<SecretString>,
        origin: Origin,
    ) -> Result<(), DepartureError> {
        let client = origin.address();
        self.accounts.confirm(caller, password, client).await?;
        for _ in 0..TRIES {
            // It runs to its end by itself.
            let disconnecting = self.operations.disconnect(caller.user_id, origin.clone());
            match timeout(PATIENCE, disconnecting).await {
                Err(_)
                | Ok(
                    Ok(_)
                    | Err(OperationError::NotRemoved(_) | OperationError::RemovalPending { .. }),
                ) => {}
                Ok(Err(error)) => return Err(error.into()),
            }
            self.operations.release(caller.user_id).await?;
            if self.accounts.erase(caller.user_id).await? {
                return Ok(());
            }
        }
        Err(DepartureError::Busy)
    }
}
