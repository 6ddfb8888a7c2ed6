//! Disconnecting a user's account.

use std::time::Duration;

use tokio::time::timeout;
use uuid::Uuid;

use super::{Operations, TRIES};
use crate::{
    audit::Origin,
    connections::removal::RemovalError,
    operations::{
        error::OperationError,
        store::{Disconnection, StoreError},
    },
    platform::crash::{self, Point},
};

/// The time for which Intuned is waited for when an account is deleted.
const PATIENCE: Duration = Duration::from_secs(3);

impl Operations {
    /// Cancels what is in flight, deletes the user's auth session at Intuned, then the connection.
    /// True when there was a connection. What Intuned cannot do now is tried again by itself; asked for again
    /// meanwhile, it is tried no sooner.
    ///
    /// # Errors
    /// [`OperationError::NotRemoved`], [`OperationError::RemovalPending`], or the database's.
    pub async fn disconnect(&self, user_id: Uuid, origin: Origin) -> Result<bool, OperationError> {
        let this = self.clone();
        self.to_its_end(async move {
            let disconnection = this.begin_disconnection(user_id, &origin).await?;
            if let Some((operation, event)) = disconnection.canceled {
                this.tell_followers(&operation, event).await;
            }
            let Some(noted) = disconnection.noted else {
                return Ok(false);
            };
            crash::at(Point::RemovalNoted);
            match this.remover.next_try(noted).await {
                Ok(()) => Ok(true),
                Err(RemovalError::Intuned(error)) => Err(OperationError::NotRemoved(error)),
                Err(RemovalError::Pending { retry_after }) => {
                    Err(OperationError::RemovalPending { retry_after })
                }
                Err(RemovalError::Database(error)) => Err(StoreError::from(error).into()),
            }
        })
        .await
    }

    /// Clears what the user has here and at Intuned, for an account that is being deleted: cancels what is in
    /// flight, and disconnects. What Intuned has not deleted in time is noted, and deleted later.
    ///
    /// # Errors
    /// The database's: what is in flight was not canceled, or the connection's removal not noted.
    pub async fn clear(&self, user_id: Uuid, origin: Origin) -> Result<(), OperationError> {
        // It runs to its end by itself.
        let disconnecting = self.disconnect(user_id, origin);
        match timeout(PATIENCE, disconnecting).await {
            Err(_)
            | Ok(
                Ok(_) | Err(OperationError::NotRemoved(_) | OperationError::RemovalPending { .. }),
            ) => {}
            Ok(Err(error)) => return Err(error),
        }
        let released = self.remover.release(user_id).await;
        released.map_err(|error| StoreError::from(error).into())
    }

    async fn begin_disconnection(
        &self,
        user_id: Uuid,
        origin: &Origin,
    ) -> Result<Disconnection, StoreError> {
        let _turn = self.turn(user_id).await?;
        for _ in 0..TRIES {
            let polls = |operation| self.bus.with_polls(operation);
            match self.store.begin_disconnection(user_id, origin, polls).await {
                Err(StoreError::Superseded) => {}
                begun => return begun,
            }
        }
        Err(StoreError::Superseded)
    }
}
