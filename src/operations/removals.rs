//! Deleting auth sessions at Intuned, durably: what is to be deleted is noted in the transaction of
//! the change that wants it, and tried until Intuned confirms.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use entity::{Millis, connection, connection::Service, session_removal};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait,
    QueryFilter, QueryOrder, QuerySelect, QueryTrait, sea_query::Expr,
};
use tokio::{sync::Notify, time::timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    model::{Event, Operation},
    state::{Failure, FailureCode, Observation, observe},
    store::{Guard, Store, StoreError, retry},
};
use crate::{
    audit::{self, Origin},
    crash::{self, Point},
    database,
    intuned::{Backoff, IntunedClient, IntunedError},
    webhooks::{self, ConnectionEvent},
};

/// Looks for removals that are due at least this often.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How many removals one look takes up.
const AT_ONCE: u64 = 100;
/// For this long a removal is left to the one who has taken it up.
const CLAIM: TimeDelta = TimeDelta::seconds(60);

/// Notes that what a failed attempt may have left at Intuned is to be deleted there. Where Intuned
/// itself did not say that it is over, the attempt may still be under way and make the session yet.
pub(super) async fn after_failure(
    database: &impl ConnectionTrait,
    operation: &Operation,
    failure: &Failure,
) -> Result<(), DbErr> {
    let now = operation.updated_at;
    let over_at_intuned = matches!(
        failure.code,
        FailureCode::SignInRejected | FailureCode::CanceledUpstream
    );
    let settles_at = if over_at_intuned {
        now
    } else {
        now + (operation.expires_at - operation.created_at)
    };
    note(
        database,
        &operation.auth_session_id,
        operation.user_id,
        now,
        settles_at,
        now,
    )
    .await
}

async fn note(
    database: &impl ConnectionTrait,
    auth_session_id: &str,
    user_id: Uuid,
    now: DateTime<Utc>,
    settles_at: DateTime<Utc>,
    due_at: DateTime<Utc>,
) -> Result<(), DbErr> {
    let removal = session_removal::ActiveModel {
        auth_session_id: Set(auth_session_id.to_owned()),
        user_id: Set(user_id),
        requested_at: Set(Millis(now)),
        settles_at: Set(Millis(settles_at)),
        due_at: Set(Millis(due_at)),
        attempts: Set(0),
    };
    session_removal::Entity::insert(removal)
        .on_conflict_do_nothing()
        .exec_without_returning(database)
        .await?;
    Ok(())
}

/// What holds of a connection that is not on its way out.
pub fn is_staying() -> Condition {
    use session_removal::Column::AuthSessionId as Noted;
    let of_connection = |column| Expr::col((connection::Entity, column));
    let session = || of_connection(connection::Column::AuthSessionId);
    let mark = || of_connection(connection::Column::RemovingSessionId);
    let unmarked = mark().is_null().or(mark().ne(session()));
    // Replicas of a release before the mark only note the removal (docs/decisions/0013).
    let noted = session_removal::Entity::find()
        .select_only()
        .column(Noted)
        .filter(Expr::col((session_removal::Entity, Noted)).eq(session()))
        .into_query();
    Condition::all().add(unmarked).add(Expr::not_exists(noted))
}

/// What the beginning of a disconnection found.
#[derive(Debug, Default)]
pub(super) struct Disconnection {
    /// The operation that it canceled, with the event of that.
    pub(super) canceled: Option<(Operation, Event)>,
    /// The auth session that is to be deleted; none when the user is not connected.
    pub(super) auth_session_id: Option<String>,
}

/// Cancels the user's operation in flight and notes the connection's session for removal, both or
/// neither. `request_id` stands for the user's request, which is recorded once.
pub(super) async fn begin_disconnection(
    store: &Store,
    user_id: Uuid,
    (request_id, origin): (Uuid, &Origin),
    polls: impl Fn(Operation) -> Operation,
) -> Result<Disconnection, StoreError> {
    retry(&store.metrics, || {
        begin_disconnection_once(store, user_id, (request_id, origin), &polls)
    })
    .await
}

async fn begin_disconnection_once(
    store: &Store,
    user_id: Uuid,
    (request_id, origin): (Uuid, &Origin),
    polls: impl Fn(Operation) -> Operation,
) -> Result<Disconnection, StoreError> {
    let transaction = database::begin(&store.database).await?;
    // Changed, not only locked: whoever waits for the lock looks at the row anew.
    let marked = connection::Entity::update_many()
        .col_expr(
            connection::Column::RemovingSessionId,
            Expr::col(connection::Column::AuthSessionId),
        )
        .filter(connection::Column::UserId.eq(user_id))
        .filter(connection::Column::Service.eq(Service::OrangeHrm))
        .exec_with_returning(&transaction)
        .await?;
    let connection = marked.into_iter().next();
    let mut disconnection = Disconnection::default();
    if let Some(operation) = store.in_flight_in(&transaction, user_id).await?.map(polls)
        && let Ok(Some(canceled)) = observe(&operation.state, Observation::CanceledByUser)
    {
        let change = store
            .apply_in(
                &transaction,
                &operation,
                canceled,
                Guard::Sequence(origin),
                store.random.uuid(),
            )
            .await?;
        disconnection.canceled = Some(change);
    }
    if let Some(connection) = connection {
        let now = store.clock.now();
        // An attempt to renew it that was given up may still be under way at Intuned.
        let settles_at = now + store.timeout;
        // The caller asks Intuned at once; this is for when it cannot.
        let due_at = now + CLAIM;
        let id = connection.auth_session_id;
        note(&transaction, &id, user_id, now, settles_at, due_at).await?;
        let requested = audit::Event::new(user_id, audit::Kind::DisconnectRequested).by(origin);
        store
            .trail
            .record_once(&transaction, request_id, requested)
            .await?;
        disconnection.auth_session_id = Some(id);
    }
    transaction.commit().await?;
    Ok(disconnection)
}

/// Deletes at Intuned what is noted for it.
#[derive(Clone, Debug)]
pub(super) struct Remover {
    pub(super) store: Store,
    pub(super) intuned: IntunedClient,
    /// Wakes the remover when something was noted.
    pub(super) noted: Arc<Notify>,
}

/// Why a session was not removed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RemovalError {
    #[error(transparent)]
    Intuned(#[from] IntunedError),
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl RemovalError {
    fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Intuned(error) => error.retry_after(),
            Self::Database(_) => None,
        }
    }
}

impl Remover {
    /// Works until `shutdown`.
    pub(super) async fn run(self, shutdown: CancellationToken) {
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
            .filter(session_removal::Column::DueAt.lte(Millis(self.store.clock.now())))
            .order_by_asc(session_removal::Column::DueAt)
            .limit(AT_ONCE)
            .all(&self.store.database)
            .await?;
        for removal in due {
            if self.intuned.removals_held_until().is_some() {
                break;
            }
            if !self.claim(&removal).await? {
                continue;
            }
            if let Err(error) = self.remove(removal.user_id, &removal.auth_session_id).await {
                tracing::warn!(%error, attempts = removal.attempts + 1, "an auth session could not be removed yet");
                self.postpone(&removal, error.retry_after()).await?;
            }
        }
        Ok(())
    }

    /// Deletes the session at Intuned, then what the gateway keeps of it.
    pub(super) async fn remove(
        &self,
        user_id: Uuid,
        auth_session_id: &str,
    ) -> Result<(), RemovalError> {
        self.intuned.delete_auth_session(auth_session_id).await?;
        crash::at(Point::RemovalDeleted);
        self.forget_connection(user_id, auth_session_id).await?;
        let now = Millis(self.store.clock.now());
        session_removal::Entity::delete_many()
            .filter(session_removal::Column::AuthSessionId.eq(auth_session_id))
            .filter(session_removal::Column::SettlesAt.lte(now))
            .exec(&self.store.database)
            .await?;
        // An attempt still under way may bring the session back: it is deleted once more then.
        session_removal::Entity::update_many()
            .col_expr(
                session_removal::Column::DueAt,
                Expr::col(session_removal::Column::SettlesAt),
            )
            .filter(session_removal::Column::AuthSessionId.eq(auth_session_id))
            .exec(&self.store.database)
            .await?;
        Ok(())
    }

    /// Deletes the connection that the session stood behind, if one did, and tells of it.
    async fn forget_connection(&self, user_id: Uuid, auth_session_id: &str) -> Result<(), DbErr> {
        let transaction = database::begin(&self.store.database).await?;
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
                occurred_at: self.store.clock.now(),
            };
            self.store.outbox.put(&transaction, event).await?;
            let event = audit::Event::new(connection.user_id, audit::Kind::Disconnected);
            self.store.trail.record(&transaction, event).await?;
        }
        transaction.commit().await?;
        self.store.outbox.committed();
        Ok(())
    }

    /// Lets go of the user's connections whose sessions are noted for removal.
    pub(super) async fn release(&self, user_id: Uuid) -> Result<(), DbErr> {
        let noted = session_removal::Entity::find()
            .filter(session_removal::Column::UserId.eq(user_id))
            .all(&self.store.database)
            .await?;
        for removal in noted {
            self.forget_connection(user_id, &removal.auth_session_id)
                .await?;
        }
        Ok(())
    }

    /// Whether this replica may take the removal up.
    async fn claim(&self, removal: &session_removal::Model) -> Result<bool, DbErr> {
        let claimed = session_removal::Entity::update_many()
            .col_expr(
                session_removal::Column::DueAt,
                Expr::value(Millis(self.store.clock.now() + CLAIM)),
            )
            .col_expr(
                session_removal::Column::Attempts,
                Expr::value(removal.attempts + 1),
            )
            .filter(session_removal::Column::AuthSessionId.eq(&removal.auth_session_id))
            .filter(session_removal::Column::DueAt.eq(removal.due_at))
            .exec(&self.store.database)
            .await?;
        Ok(claimed.rows_affected == 1)
    }

    async fn postpone(
        &self,
        removal: &session_removal::Model,
        retry_after: Option<Duration>,
    ) -> Result<(), DbErr> {
        let attempt = u32::try_from(removal.attempts).unwrap_or_default();
        let pause = Backoff::new().delay(attempt, retry_after, &self.store.random);
        let due_at = self.store.clock.now() + TimeDelta::from_std(pause).unwrap_or(CLAIM);
        session_removal::Entity::update_many()
            .col_expr(session_removal::Column::DueAt, Expr::value(Millis(due_at)))
            .filter(session_removal::Column::AuthSessionId.eq(&removal.auth_session_id))
            .exec(&self.store.database)
            .await?;
        Ok(())
    }
}
