//! Operations in the database. Each change is one transaction: the operation's new state, guarded by
//! its old sequence (and, for those who drive it, by the lease), its event, and on an end what
//! follows from it.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use backon::{ExponentialBuilder, Retryable};
use chrono::{DateTime, TimeDelta, Utc};
use entity::{
    Millis, connection, connection::Service, operation, operation_event, session_removal,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbErr, EntityTrait,
    QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, OnConflict},
};
use tokio::time::Instant;
use uuid::Uuid;

use super::{
    exchange,
    model::{Event, EventKind, FIRST_EPOCH, Lease, Operation},
    removals,
    rows::{self, InconsistentRow},
    state::{Kind, State},
};
use crate::{
    ambient::{Clock, Random},
    audit::{self, Origin, Trail},
    crash::{self, Point},
    database,
    metrics::OperationMetrics,
    webhooks::{self, ConnectionEvent, Outbox},
};

/// A repeat with the same idempotency key counts as one for this long.
const IDEMPOTENCY_WINDOW: TimeDelta = TimeDelta::days(1);

/// How often a new row is tried while others of the user's come and go.
const INSERT_TRIES: usize = 20;

/// For how long the database is tried again: whoever asked is waiting.
const RETRY_FOR: Duration = Duration::from_secs(5);

/// Why an operation could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has written meanwhile, or the lease is gone; nothing was changed.
    #[error("the operation has changed meanwhile")]
    Superseded,
    /// The user's account has been deleted; nothing was changed.
    #[error("the user's account has been deleted")]
    NoUser,
    /// A row makes no sense.
    #[error(transparent)]
    Inconsistent(#[from] InconsistentRow),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl StoreError {
    /// Whether the same, tried again, may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) if database::is_transient(error))
    }
}

/// Who guards a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guard<'a> {
    /// The replica that drives the operation: sequence, owner and epoch must be as they were read.
    Lease,
    /// A user's command, which may come in on any replica, or what holds whoever drives the operation: the
    /// sequence must be as it was read.
    Sequence(&'a Origin),
}

/// What became of the wish to start an operation.
#[derive(Debug)]
pub(super) enum Inserted {
    /// It stands.
    New(Operation, Event),
    /// This one was started before, by the same idempotency key or by an earlier try.
    Repeat(Operation),
    /// This one is in flight.
    Busy(Uuid),
}

/// Reads and writes operations on behalf of one replica.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) database: DatabaseConnection,
    pub(super) replica: Uuid,
    pub(super) timeout: TimeDelta,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Random,
    pub(super) trail: Trail,
    pub(super) outbox: Outbox,
    pub(super) metrics: OperationMetrics,
}

impl Store {
    /// Writes a new operation of the user's, owned by this replica: a re-connect when a connection
    /// stands that is not being removed.
    pub(super) async fn insert(
        &self,
        user_id: Uuid,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<Inserted, StoreError> {
        let id = self.random.uuid_at(self.clock.now());
        let was_tried = AtomicBool::new(false);
        retry(&self.metrics, || async {
            // An earlier try may have been committed without our hearing of it.
            if was_tried.swap(true, Ordering::Relaxed)
                && let Some(operation) = self.get(id).await?
            {
                return Ok(self.found_inserted(operation));
            }
            self.insert_once(id, user_id, idempotency_key, origin).await
        })
        .await
    }

    fn found_inserted(&self, operation: Operation) -> Inserted {
        if operation.lease != self.first_lease() {
            // It has ended since, or somebody else has taken it over.
            return Inserted::Repeat(operation);
        }
        let message = operation.state.message();
        let event = operation.event(EventKind::Change, message, operation.created_at);
        Inserted::New(operation, event)
    }

    async fn insert_once(
        &self,
        id: Uuid,
        user_id: Uuid,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<Inserted, StoreError> {
        if let Some(key) = idempotency_key
            && let Some(repeated) = self.by_idempotency_key(user_id, key).await?
        {
            return Ok(Inserted::Repeat(repeated));
        }
        for _ in 0..INSERT_TRIES {
            match self.insert_row(id, user_id, idempotency_key, origin).await {
                Err(StoreError::Database(error)) if database::is_unique_violation(&error) => {}
                Err(StoreError::Database(error)) if database::is_foreign_key_violation(&error) => {
                    return Err(StoreError::NoUser);
                }
                inserted => return inserted,
            }
            if let Some(key) = idempotency_key
                && let Some(repeated) = self.by_idempotency_key(user_id, key).await?
            {
                return Ok(Inserted::Repeat(repeated));
            }
            if let Some(busy) = self.in_flight(user_id).await? {
                return Ok(Inserted::Busy(busy.id));
            }
            // It has ended since.
        }
        Err(StoreError::Superseded)
    }

    async fn insert_row(
        &self,
        id: Uuid,
        user_id: Uuid,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<Inserted, StoreError> {
        let now = self.clock.now();
        let transaction = database::begin(&self.database).await?;
        if let Some(key) = idempotency_key {
            forget_idempotency_key(&transaction, user_id, key, now).await?;
        }
        let renewed = connection_to_renew(&transaction, user_id).await?;
        let operation = Operation {
            id,
            user_id,
            kind: match renewed {
                Some(_) => Kind::Reconnect,
                None => Kind::Connect,
            },
            state: State::Starting,
            sequence: 1,
            auth_session_id: renewed.unwrap_or_else(|| self.random.uuid().to_string()),
            connection_id: None,
            polls: 0,
            lease: self.first_lease(),
            created_at: now,
            updated_at: now,
            expires_at: now + self.timeout,
        };
        let event = operation.event(EventKind::Change, operation.state.message(), now);
        let row = rows::new_row(&operation, idempotency_key.map(str::to_owned));
        operation::Entity::insert(row)
            .exec_without_returning(&transaction)
            .await?;
        operation_event::Entity::insert(rows::event_row(&operation, &event, id))
            .exec_without_returning(&transaction)
            .await?;
        let started = audit::Event {
            operation_id: Some(id),
            ..audit::Event::new(user_id, audit::Kind::ConnectStarted).by(origin)
        };
        self.trail.record(&transaction, started).await?;
        transaction.commit().await?;
        Ok(Inserted::New(operation, event))
    }

    /// Of an operation that begins on this replica.
    fn first_lease(&self) -> Lease {
        Lease {
            owner: Some(self.replica),
            epoch: FIRST_EPOCH,
        }
    }

    /// Writes that `current` is now in `state`, with what follows from that, or fails with
    /// [`StoreError::Superseded`] and changes nothing.
    pub(super) async fn apply(
        &self,
        current: &Operation,
        state: State,
        guard: Guard<'_>,
    ) -> Result<(Operation, Event), StoreError> {
        let change_id = self.random.uuid();
        let is_doubtful = AtomicBool::new(false);
        let applied = retry(&self.metrics, || async {
            let applied = self
                .apply_once(current, state.clone(), guard, change_id)
                .await;
            if matches!(&applied, Err(error) if error.is_transient()) {
                is_doubtful.store(true, Ordering::Relaxed);
            }
            applied
        })
        .await;
        match applied {
            Err(StoreError::Superseded) if is_doubtful.into_inner() => {
                self.find_applied(current, guard, change_id).await
            }
            applied => applied,
        }
    }

    /// The change, if it stands after all: its commit may have gone through unheard. By its own id, for
    /// somebody else may have written the very same.
    async fn find_applied(
        &self,
        current: &Operation,
        guard: Guard<'_>,
        change_id: Uuid,
    ) -> Result<(Operation, Event), StoreError> {
        let change = operation_event::Entity::find_by_id((current.id, current.sequence + 1))
            .filter(operation_event::Column::ChangeId.eq(change_id))
            .one(&self.database)
            .await?;
        let is_ours = |operation: &Operation| {
            operation.sequence == current.sequence + 1
                && (guard != Guard::Lease || operation.lease.epoch == current.lease.epoch)
        };
        match (self.get(current.id).await?.filter(is_ours), change) {
            (Some(operation), Some(change)) => Ok((operation, change.into())),
            _ => Err(StoreError::Superseded),
        }
    }

    async fn apply_once(
        &self,
        current: &Operation,
        state: State,
        guard: Guard<'_>,
        change_id: Uuid,
    ) -> Result<(Operation, Event), StoreError> {
        let transaction = database::begin(&self.database).await?;
        let changed = self
            .apply_in(&transaction, current, state, guard, change_id)
            .await?;
        let state = &changed.0.state;
        match state {
            State::Pending(_) => crash::at(Point::BeforeUpstreamIdStored),
            State::Done { .. } => crash::at(Point::InsideCommit),
            _ => {}
        }
        transaction.commit().await?;
        if let State::Done { .. } = state {
            crash::at(Point::AfterCommit);
            self.outbox.committed();
        }
        Ok(changed)
    }

    /// The same within a transaction of the caller's, who knows the change again by `change_id`.
    pub(super) async fn apply_in(
        &self,
        transaction: &DatabaseTransaction,
        current: &Operation,
        state: State,
        guard: Guard<'_>,
        change_id: Uuid,
    ) -> Result<(Operation, Event), StoreError> {
        let now = self.clock.now();
        let mut next = Operation {
            state,
            sequence: current.sequence + 1,
            updated_at: now,
            ..current.clone()
        };
        if next.state.has_ended() {
            next.lease.owner = None;
        }
        if let State::Done { auth_session_id } = &next.state {
            next.auth_session_id.clone_from(auth_session_id);
            let connection = self.connect(transaction, &next).await?;
            next.connection_id = Some(connection);
        }
        let mut update = operation::Entity::update_many()
            .set(rows::changed_columns(&next))
            .filter(operation::Column::Id.eq(current.id))
            .filter(operation::Column::Sequence.eq(current.sequence));
        if guard == Guard::Lease {
            update = update
                .filter(operation::Column::Owner.eq(current.lease.owner))
                .filter(operation::Column::Epoch.eq(current.lease.epoch));
        }
        if update.exec(transaction).await?.rows_affected != 1 {
            return Err(StoreError::Superseded);
        }
        let event = next.event(EventKind::Change, next.state.message(), now);
        operation_event::Entity::insert(rows::event_row(&next, &event, change_id))
            .exec_without_returning(transaction)
            .await?;
        if let State::Failed(failure) | State::Canceled(failure) = &next.state
            && next.kind == Kind::Connect
        {
            removals::after_failure(transaction, &next, failure).await?;
        }
        if let Some(event) = rows::audit_event(current, &next, guard) {
            self.trail.record(transaction, event).await?;
        }
        exchange::announce(transaction, self.replica, next.id, next.sequence).await?;
        Ok((next, event))
    }

    /// The connection that a finished operation makes or renews.
    async fn connect(
        &self,
        transaction: &DatabaseTransaction,
        operation: &Operation,
    ) -> Result<Uuid, DbErr> {
        let new_id = self.random.uuid_at(operation.updated_at);
        let row = connection::ActiveModel {
            id: Set(new_id),
            user_id: Set(operation.user_id),
            service: Set(Service::OrangeHrm),
            auth_session_id: Set(operation.auth_session_id.clone()),
            created_at: Set(Millis(operation.updated_at)),
            connected_at: Set(Millis(operation.updated_at)),
            expired_at: Set(None),
        };
        let one_for_each_service =
            OnConflict::columns([connection::Column::UserId, connection::Column::Service])
                .update_columns([
                    connection::Column::AuthSessionId,
                    connection::Column::ConnectedAt,
                    connection::Column::ExpiredAt,
                ])
                .to_owned();
        let connection = connection::Entity::insert(row)
            .on_conflict(one_for_each_service)
            .exec_with_returning(transaction)
            .await?;
        let kind = if connection.id == new_id {
            webhooks::Kind::Created
        } else {
            webhooks::Kind::Renewed
        };
        let event = ConnectionEvent {
            kind,
            connection_id: connection.id,
            user_id: operation.user_id,
            occurred_at: operation.updated_at,
        };
        self.outbox.put(transaction, event).await?;
        Ok(connection.id)
    }

    /// One operation; none when there is none of that id.
    pub(super) async fn get(&self, id: Uuid) -> Result<Option<Operation>, StoreError> {
        let row = operation::Entity::find_by_id(id)
            .one(&self.database)
            .await?;
        Ok(row.map(Operation::try_from).transpose()?)
    }

    /// The user's operation in flight.
    pub(super) async fn in_flight(&self, user_id: Uuid) -> Result<Option<Operation>, StoreError> {
        self.in_flight_in(&self.database, user_id).await
    }

    /// The same within a transaction of the caller's.
    pub(super) async fn in_flight_in(
        &self,
        database: &impl ConnectionTrait,
        user_id: Uuid,
    ) -> Result<Option<Operation>, StoreError> {
        let row = operation::Entity::find()
            .filter(operation::Column::UserId.eq(user_id))
            .filter(operation::Column::EndedAt.is_null())
            .one(database)
            .await?;
        Ok(row.map(Operation::try_from).transpose()?)
    }

    pub(super) async fn by_idempotency_key(
        &self,
        user_id: Uuid,
        key: &str,
    ) -> Result<Option<Operation>, StoreError> {
        let since = Millis(self.clock.now() - IDEMPOTENCY_WINDOW);
        let row = operation::Entity::find()
            .filter(operation::Column::UserId.eq(user_id))
            .filter(operation::Column::IdempotencyKey.eq(key))
            .filter(operation::Column::CreatedAt.gt(since))
            .one(&self.database)
            .await?;
        Ok(row.map(Operation::try_from).transpose()?)
    }

    /// The operation's changes after number `sequence`, in order.
    pub(super) async fn changes_after(
        &self,
        id: Uuid,
        sequence: i32,
    ) -> Result<Vec<Event>, StoreError> {
        let rows = operation_event::Entity::find()
            .filter(operation_event::Column::OperationId.eq(id))
            .filter(operation_event::Column::Sequence.gt(sequence))
            .order_by_asc(operation_event::Column::Sequence)
            .all(&self.database)
            .await?;
        Ok(rows.into_iter().map(Event::from).collect())
    }
}

/// Tries again what the database could not do for a reason that passes.
pub(super) async fn retry<T, F>(
    metrics: &OperationMetrics,
    attempt: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let begun = Instant::now();
    attempt
        .retry(
            ExponentialBuilder::default()
                .with_min_delay(Duration::from_millis(50))
                .with_max_times(5)
                .with_jitter(),
        )
        .when(|error: &StoreError| error.is_transient() && begun.elapsed() < RETRY_FOR)
        .notify(|_, _| metrics.retried())
        .await
}

/// The auth session of the user's connection, locked against being removed at the same time; none
/// when there is no connection, or its session is on its way out.
async fn connection_to_renew(
    transaction: &DatabaseTransaction,
    user_id: Uuid,
) -> Result<Option<String>, DbErr> {
    let Some(connection) = connection::Entity::find()
        .filter(connection::Column::UserId.eq(user_id))
        .filter(connection::Column::Service.eq(Service::OrangeHrm))
        .lock_exclusive()
        .one(transaction)
        .await?
    else {
        return Ok(None);
    };
    let removal = session_removal::Entity::find_by_id(&connection.auth_session_id)
        .one(transaction)
        .await?;
    Ok(removal.is_none().then_some(connection.auth_session_id))
}

async fn forget_idempotency_key(
    transaction: &DatabaseTransaction,
    user_id: Uuid,
    key: &str,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    operation::Entity::update_many()
        .col_expr(
            operation::Column::IdempotencyKey,
            Expr::value(Option::<String>::None),
        )
        .filter(operation::Column::UserId.eq(user_id))
        .filter(operation::Column::IdempotencyKey.eq(key))
        .filter(operation::Column::CreatedAt.lte(Millis(now - IDEMPOTENCY_WINDOW)))
        .exec(transaction)
        .await?;
    Ok(())
}
