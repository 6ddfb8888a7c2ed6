//! Operations in the database. Each change is one transaction: the operation's new state, guarded by
//! its old sequence (and, for those who drive it, by the lease), its event, and on an end what
//! follows from it.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_graphql::dataloader::Loader;
use backon::{ExponentialBuilder, Retryable};
use chrono::TimeDelta;
use entity::{Millis, operation, operation_event};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, QueryFilter,
    QueryOrder, QueryTrait,
    sea_query::{BinOper, Expr},
};
use tokio::time::Instant;
use uuid::Uuid;

use super::metrics::OperationMetrics;
use super::{
    connecting, exchange,
    fingerprint::IdempotencyKey,
    model::{Event, EventKind, Operation},
    removals,
    rows::{self, InconsistentRow},
    state::{Kind, State},
};
use crate::{
    audit::{Origin, Trail},
    platform::batch_loader::{BatchLoader, padded},
    platform::crash::{self, Point},
    platform::database::{self, Database, Transaction, Write},
    webhooks::Outbox,
};
use ambient::{Clock, Random};

/// A repeat with the same idempotency key counts as one for this long.
pub(super) const IDEMPOTENCY_WINDOW: TimeDelta = TimeDelta::days(1);

/// For how long the database is tried again: whoever asked is waiting.
const RETRY_FOR: Duration = Duration::from_secs(3);

/// Why an operation could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else has written meanwhile, or the lease is gone; nothing was changed.
    #[error("the operation has changed meanwhile")]
    Superseded,
    /// What Intuned said an id of stands for something else already, of somebody else's; nothing was changed.
    #[error("an id of Intuned's is taken")]
    IdTaken,
    /// The idempotency key has begun something else; nothing was changed.
    #[error("the idempotency key has begun something else")]
    KeyReused,
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
    /// The error of a write that is refused by no other unique index than one of Intuned's ids.
    pub(super) fn of_intuneds_id(error: DbErr) -> Self {
        if database::is_unique_violation(&error) {
            Self::IdTaken
        } else {
            error.into()
        }
    }

    /// Whether the same, tried again, may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Database(error) if database::is_transient(error))
    }

    /// Whether somebody else has locked what was needed.
    fn is_locked(&self) -> bool {
        matches!(self, Self::Database(error) if database::is_locked(error))
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

/// Reads and writes operations on behalf of one replica.
#[derive(Clone, Debug)]
pub(super) struct Store {
    pub(super) database: Database,
    pub(super) by_id: ById,
    pub(super) replica: Uuid,
    pub(super) timeout: TimeDelta,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) random: Random,
    pub(super) trail: Trail,
    pub(super) outbox: Outbox,
    pub(super) metrics: OperationMetrics,
}

impl Store {
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
        if let State::Pending(_) = state {
            crash::at(Point::BeforeUpstreamIdStored);
        }
        if !state.has_ended() {
            let next = self.next(current, state);
            let (write, event) = self.write(current, &next, guard, change_id);
            if !write
                .run(&self.database)
                .await
                .map_err(StoreError::of_intuneds_id)?
            {
                return Err(StoreError::Superseded);
            }
            return Ok((next, event));
        }
        let transaction = database::begin(&self.database).await?;
        let changed = self
            .apply_in(&transaction, current, state, guard, change_id)
            .await?;
        let is_done = changed.0.state == State::Done;
        if is_done {
            crash::at(Point::InsideCommit);
        }
        transaction.commit().await?;
        if is_done {
            crash::at(Point::AfterCommit);
            self.outbox.committed();
        }
        Ok(changed)
    }

    /// As [`Store::apply`], within a transaction of the caller's, who knows the change again by
    /// `change_id`.
    pub(super) async fn apply_in(
        &self,
        transaction: &Transaction,
        current: &Operation,
        state: State,
        guard: Guard<'_>,
        change_id: Uuid,
    ) -> Result<(Operation, Event), StoreError> {
        let mut next = self.next(current, state);
        if next.state == State::Done {
            let connection = connecting::connect(self, transaction, &next).await?;
            next.connection_id = Some(connection);
        }
        let (write, event) = self.write(current, &next, guard, change_id);
        if !write.run_in(transaction).await? {
            return Err(StoreError::Superseded);
        }
        if let State::Failed(failure) | State::Canceled(failure) = &next.state
            && next.kind == Kind::Connect
        {
            removals::after_failure(transaction, &next, failure).await?;
        }
        Ok((next, event))
    }

    fn next(&self, current: &Operation, state: State) -> Operation {
        let mut next = Operation {
            state,
            sequence: current.sequence + 1,
            updated_at: self.clock.now(),
            ..current.clone()
        };
        if next.state.has_ended() {
            next.lease.owner = None;
        }
        next
    }

    /// What `current` has become, its event, and what of it the user's trail tells, to be written and
    /// announced to the other replicas.
    fn write(
        &self,
        current: &Operation,
        next: &Operation,
        guard: Guard<'_>,
        change_id: Uuid,
    ) -> (Write, Event) {
        let mut update = operation::Entity::update_many()
            .set(rows::changed_columns(next))
            .filter(operation::Column::Id.eq(current.id))
            .filter(operation::Column::Sequence.eq(current.sequence));
        if guard == Guard::Lease {
            // Not `=`, for which Postgres may go through all that this replica drives.
            let same = BinOper::Custom("IS NOT DISTINCT FROM");
            let owner = Expr::col((operation::Entity, operation::Column::Owner));
            update = update
                .filter(owner.binary(same, current.lease.owner))
                .filter(operation::Column::Epoch.eq(current.lease.epoch));
        }
        let event = next.event(EventKind::Change, next.state.message(), next.updated_at);
        let mut write = Write::update(update.into_query())
            .and_insert(rows::event_row(next, &event, change_id))
            .and_call(exchange::announcement(self.replica, next.id, next.sequence));
        if let Some(event) = rows::audit_event(next, guard) {
            write = write.and_insert(self.trail.row(event));
        }
        (write, event)
    }

    /// One operation; none when there is none of that id.
    pub(super) async fn get(&self, id: Uuid) -> Result<Option<Operation>, StoreError> {
        let row = self.by_id.load_one(id).await?.transpose()?;
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

    /// What the key has begun, unless that was something else.
    pub(super) async fn by_idempotency_key(
        &self,
        user_id: Uuid,
        key: &IdempotencyKey,
    ) -> Result<Option<Operation>, StoreError> {
        let since = Millis(self.clock.now() - IDEMPOTENCY_WINDOW);
        let row = operation::Entity::find()
            .filter(operation::Column::UserId.eq(user_id))
            .filter(operation::Column::IdempotencyKey.eq(&key.text))
            .filter(operation::Column::CreatedAt.gt(since))
            .one(&self.database)
            .await?;
        let kept = row.as_ref().and_then(|row| row.input_fingerprint.as_ref());
        if kept.is_some_and(|kept| key.contradicts(kept)) {
            return Err(StoreError::KeyReused);
        }
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

/// Reads operations by id together. One row that makes no sense is an error to those alone who ask for it.
pub(super) type ById = BatchLoader<Uuid, OperationLoader>;

/// [`ById`] from this database.
pub(super) fn by_id(database: Database) -> ById {
    BatchLoader::new(OperationLoader(database))
}

/// Loads the rows of operations by id; a row that makes no sense is nobody's trouble but its own.
pub(super) struct OperationLoader(Database);

impl Loader<Uuid> for OperationLoader {
    type Value = Result<operation::Model, DbErr>;
    type Error = DbErr;

    async fn load(&self, ids: &[Uuid]) -> Result<HashMap<Uuid, Self::Value>, DbErr> {
        let found = operation::Entity::find()
            .filter(operation::Column::Id.is_in(padded(ids)))
            .into_query();
        let rows = self.0.query_all(&found).await?;
        let rows = rows.iter().map(|row| {
            let id = row.try_get("", "id")?;
            Ok((id, operation::Model::from_query_result(row, "")))
        });
        rows.collect()
    }
}

/// Tries again what the database could not do for a reason that passes. Whoever has waited for somebody else's
/// lock in vain has waited for long enough.
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
        .when(|error: &StoreError| {
            error.is_transient() && !error.is_locked() && begun.elapsed() < RETRY_FOR
        })
        .notify(|_, _| metrics.retried())
        .await
}
