//! Turns of a user's commands: one of them at a time has a connection to the database. Many that wait for the
//! same row would take up all that there are, and stop other users.

use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::{
    sync::{Mutex, OwnedMutexGuard},
    time::timeout,
};
use uuid::Uuid;

/// The time for which a command waits for those before it. With the time that one may take itself, whoever asked is
/// told within five seconds.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longer than any turn.
const KEPT_FOR: Duration = Duration::from_mins(1);

/// The users' turns on this replica.
#[derive(Debug)]
pub(super) struct Turns(Cache<Uuid, Arc<Mutex<()>>>);

impl Turns {
    pub(super) fn new() -> Self {
        Self(Cache::builder().time_to_idle(KEPT_FOR).build())
    }

    /// Waits for the user's turn, which lasts until it is dropped.
    ///
    /// # Errors
    /// The error is the same as for want of a connection.
    pub(super) async fn take(&self, user_id: Uuid) -> Result<OwnedMutexGuard<()>, DbErr> {
        let turns = self.0.get_with(user_id, Arc::default);
        let turn = timeout(PATIENCE, turns.lock_owned()).await;
        turn.map_err(|_| DbErr::ConnectionAcquire(ConnAcquireErr::Timeout))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::database;

    #[tokio::test(start_paused = true)]
    async fn user_waits_for_their_own_commands_alone_and_not_for_ever() {
        let turns = Turns::new();
        let (one, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let turn = turns.take(one).await.unwrap();
        assert!(turns.take(other).await.is_ok());
        let refused = turns.take(one).await.unwrap_err();
        assert!(database::is_transient(&refused));
        let (waiting, ()) = tokio::join!(turns.take(one), async { drop(turn) });
        assert!(waiting.is_ok());
    }
}
