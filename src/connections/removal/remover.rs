//! Deleting auth sessions at Intuned, durably: what is noted for removal is tried until Intuned confirms.

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use entity::{Millis, connection, session_removal};
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::notes::{CLAIM, Noted};
use crate::{
    audit::{self, Trail},
    platform::Runtime,
    platform::crash::{self, Point},
    platform::database::{self, Database},
    platform::single_flight::SingleFlight,
    webhooks::{self, ConnectionEvent, Outbox},
};
use ambient::{Clock, Random};
use intuned_client::{Backoff, IntunedClient, IntunedError};

/// Looks for removals that are due at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// The number of removals that one look takes up.
const AT_ONCE: u64 = 100;
/// The time for which somebody who asks again waits for the next try.
const PATIENCE: Duration = Duration::from_secs(5);

/// Deletes at Intuned what is noted for it.
#[derive(Clone, Debug)]
pub(crate) struct Remover {
    database: Database,
    intuned: IntunedClient,
    clock: Arc<dyn Clock>,
    random: Random,
    trail: Trail,
    outbox: Outbox,
    noted: Arc<Notify>,
    /// Tries under way, by auth session.
    flights: SingleFlight<String, Result<(), RemovalError>>,
}

/// The reason why a session was not removed.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RemovalError {
    #[error(transparent)]
    Intuned(#[from] IntunedError),
    #[error("it is tried later")]
    Pending { retry_after: Duration },
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl RemovalError {
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Intuned(error) => error.retry_after(),
            Self::Pending { .. } | Self::Database(_) => None,
        }
    }
}

impl Remover {
    /// Deletes at `intuned`, and tells `trail` and `outbox` of it.
    pub(crate) fn new(
        runtime: &Runtime,
        intuned: IntunedClient,
        trail: Trail,
        outbox: Outbox,
    ) -> Self {
        Self {
            database: runtime.database.clone(),
            intuned,
            clock: runtime.clock.clone(),
            random: runtime.random.clone(),
            trail,
            outbox,
            noted: Arc::default(),
            flights: SingleFlight::default(),
        }
    }

    /// Wakes the remover: something was noted, perhaps.
    pub(crate) fn wake(&self) {
        self.noted.notify_one();
    }

    /// Works until `shutdown`.
    pub(crate) async fn run(self, shutdown: CancellationToken) {
        while let Some(removed) = shutdown.run_until_cancelled(self.remove_due()).await {
            if let Err(error) = removed {
                tracing::warn!(%error, "sessions to be removed could not be looked up");
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                _ = timeout(LOOK_EVERY, self.noted.notified()) => {}
            }
        }
    }

    async fn remove_due(&self) -> Result<(), DbErr> {
        let due = session_removal::Entity::find()
            .filter(session_removal::Column::DueAt.lte(Millis(self.clock.now())))
            .order_by_asc(session_removal::Column::DueAt)
            .limit(AT_ONCE)
            .all(&self.database)
            .await?;
        for removal in due {
            if self.intuned.removals_held_until().is_some() {
                break;
            }
            if !self.claim(&removal).await? {
                continue;
            }
            // What comes of it is in the table and in the log.
            self.try_together(removal).await.ok();
        }
        Ok(())
    }

    /// Waits for the removal's next try, for a user who has asked for it. It is made when it is due, however
    /// often it is asked for; one that is a long way off is not waited for.
    pub(crate) async fn next_try(&self, noted: Noted) -> Result<(), RemovalError> {
        let removal = match noted {
            Noted::Now(removal) => return self.try_together(removal).await,
            Noted::Before(removal) => removal,
        };
        if let Some(outcome) = self.flights.join(&removal.auth_session_id).await {
            return outcome;
        }
        self.intuned.check_removal_hold()?;
        // Of a try that did not end, since its process did, nobody knows but who asks again.
        if removal.attempts > 0 {
            let left = removal.due_at.0 - self.clock.now();
            let pause = left.to_std().unwrap_or_default();
            if pause > PATIENCE {
                return Err(RemovalError::Pending { retry_after: pause });
            }
            sleep(pause).await;
        }
        if self.claim(&removal).await? {
            return self.try_together(removal).await;
        }
        self.found_claimed(&removal).await
    }

    /// The outcome to tell of a removal that somebody else has taken up.
    async fn found_claimed(&self, removal: &session_removal::Model) -> Result<(), RemovalError> {
        if let Some(outcome) = self.flights.join(&removal.auth_session_id).await {
            return outcome;
        }
        let stands = connection::Entity::find()
            .filter(connection::Column::UserId.eq(removal.user_id))
            .filter(connection::Column::AuthSessionId.eq(&removal.auth_session_id))
            .count(&self.database)
            .await?;
        if stands == 0 {
            return Ok(());
        }
        let retry_after = Duration::from_secs(1);
        Err(RemovalError::Pending { retry_after })
    }

    /// Tries the removal once for all who wait for that here.
    async fn try_together(&self, removal: session_removal::Model) -> Result<(), RemovalError> {
        let key = removal.auth_session_id.clone();
        let this = self.clone();
        let trying = async move { this.try_once(&removal).await };
        let outcome = self.flights.share(key, trying).await;
        outcome.unwrap_or_else(|| Err(DbErr::Custom("a removal broke off".into()).into()))
    }

    async fn try_once(&self, removal: &session_removal::Model) -> Result<(), RemovalError> {
        let removed = self.remove(removal.user_id, &removal.auth_session_id).await;
        if let Err(error) = &removed {
            tracing::warn!(%error, attempts = removal.attempts + 1, "an auth session could not be removed yet");
            self.postpone(removal, error.retry_after()).await?;
        }
        removed
    }

    /// Deletes the session at Intuned, then what the gateway keeps of it.
    async fn remove(&self, user_id: Uuid, auth_session_id: &str) -> Result<(), RemovalError> {
        self.intuned.delete_auth_session(auth_session_id).await?;
        crash::at(Point::RemovalDeleted);
        self.forget_connection(user_id, auth_session_id).await?;
        let now = Millis(self.clock.now());
        session_removal::Entity::delete_many()
            .filter(session_removal::Column::AuthSessionId.eq(auth_session_id))
            .filter(session_removal::Column::SettlesAt.lte(now))
            .exec(&self.database)
            .await?;
        // An attempt still under way may bring the session back: it is deleted once more then.
        session_removal::Entity::update_many()
            .col_expr(
                session_removal::Column::DueAt,
                Expr::col(session_removal::Column::SettlesAt),
            )
            .filter(session_removal::Column::AuthSessionId.eq(auth_session_id))
            .exec(&self.database)
            .await?;
        Ok(())
    }

    /// Deletes the connection that the session stood behind, if one did, and tells of it.
    async fn forget_connection(&self, user_id: Uuid, auth_session_id: &str) -> Result<(), DbErr> {
        let transaction = database::begin(&self.database).await?;
        let removed = connection::Entity::delete_many()
            .filter(connection::Column::UserId.eq(user_id))
            .filter(connection::Column::AuthSessionId.eq(auth_session_id))
            .exec_with_returning(&transaction)
            .await?;
        for connection in removed {
            let event = ConnectionEvent {
                kind: webhooks::Kind::Removed,
                connection_id: connection.id,
                user_id: connection.user_id,
                occurred_at: self.clock.now(),
            };
            self.outbox.put(&transaction, event).await?;
            let event = audit::Event::new(connection.user_id, audit::Kind::Disconnected);
            self.trail.record(&transaction, event).await?;
        }
        transaction.commit().await?;
        self.outbox.committed();
        Ok(())
    }

    /// Lets go of the user's connections whose sessions are noted for removal.
    pub(crate) async fn release(&self, user_id: Uuid) -> Result<(), DbErr> {
        let noted = session_removal::Entity::find()
            .filter(session_removal::Column::UserId.eq(user_id))
            .all(&self.database)
            .await?;
        for removal in noted {
            self.forget_connection(user_id, &removal.auth_session_id)
                .await?;
        }
        Ok(())
    }

    /// Takes the removal up. Answers false when another replica has.
    async fn claim(&self, removal: &session_removal::Model) -> Result<bool, DbErr> {
        let claimed = session_removal::Entity::update_many()
            .col_expr(
                session_removal::Column::DueAt,
                Expr::value(Millis(self.clock.now() + CLAIM)),
            )
            .filter(session_removal::Column::AuthSessionId.eq(&removal.auth_session_id))
            .filter(session_removal::Column::DueAt.eq(removal.due_at))
            .exec(&self.database)
            .await?;
        Ok(claimed.rows_affected == 1)
    }

    async fn postpone(
        &self,
        removal: &session_removal::Model,
        retry_after: Option<Duration>,
    ) -> Result<(), DbErr> {
        let attempt = u32::try_from(removal.attempts).unwrap_or_default();
        let pause = Backoff::new().delay(attempt, retry_after, &self.random);
        let due_at = self.clock.now() + TimeDelta::from_std(pause).unwrap_or(CLAIM);
        session_removal::Entity::update_many()
            .col_expr(session_removal::Column::DueAt, Expr::value(Millis(due_at)))
            .col_expr(
                session_removal::Column::Attempts,
                Expr::value(removal.attempts + 1),
            )
            .filter(session_removal::Column::AuthSessionId.eq(&removal.auth_session_id))
            .exec(&self.database)
            .await?;
        Ok(())
    }
}
