//! Operations in the database. Each change is one transaction: the operation's new state, guarded by
//! its old sequence (and, for those who drive it, by the lease), its event, and on an end what
//! follows from it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use chrono::TimeDelta;
use entity::{Millis, operation, operation_event, session_removal};
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QueryTrait,
    sea_query::{BinOper, Expr},
};
use uuid::Uuid;

use super::{
    announcement::announcement,
    by_id::{ById, by_id},
    change::{Change, Guard},
    error::StoreError,
    fingerprint::IdempotencyKey,
    retry::retry,
    rows,
};
use crate::{
    audit::Trail,
    connections::{self, SignIn, removal},
    operations::{
        metrics::OperationMetrics,
        model::{Event, EventKind, Operation},
        state::{Failure, FailureCode, Kind, State},
    },
    platform::Runtime,
    platform::crash::{self, Point},
    platform::database::{self, Database, Transaction, Write},
    webhooks::Outbox,
};
use ambient::{Clock, Random};

/// A repeat with the same idempotency key counts as one for this long.
pub(super) const IDEMPOTENCY_WINDOW: TimeDelta = TimeDelta::days(1);

/// Reads and writes operations on behalf of one replica.
#[derive(Clone, Debug)]
pub(in crate::operations) struct Store {
    pub(in crate::operations) database: Database,
    pub(super) by_id: ById,
    pub(in crate::operations) replica: Uuid,
    pub(in crate::operations) timeout: TimeDelta,
    pub(in crate::operations) clock: Arc<dyn Clock>,
    pub(in crate::operations) random: Random,
    pub(in crate::operations) trail: Trail,
    pub(in crate::operations) outbox: Outbox,
    pub(in crate::operations) metrics: OperationMetrics,
}

impl Store {
    /// The store of a replica that begins now.
    pub(in crate::operations) fn new(
        runtime: &Runtime,
        timeout: TimeDelta,
        trail: Trail,
        outbox: Outbox,
        metrics: OperationMetrics,
    ) -> Self {
        let Runtime {
            database,
            clock,
            random,
            ..
        } = runtime.clone();
        Self {
            by_id: by_id(database.clone()),
            database,
            replica: random.uuid(),
            timeout,
            clock,
            random,
            trail,
            outbox,
            metrics,
        }
    }

    /// Writes that `current` is now in `state`, with what follows from that, or fails with
    /// [`StoreError::Superseded`] and changes nothing.
    pub(in crate::operations) async fn apply(
        &self,
        current: &Operation,
        state: State,
        guard: Guard<'_>,
    ) -> Result<(Operation, Event), StoreError> {
        let change = Change {
            current,
            state,
            guard,
            id: self.random.uuid(),
        };
        let is_doubtful = AtomicBool::new(false);
        let applied = retry(&self.metrics, || async {
            let applied = self.apply_once(&change).await;
            if matches!(&applied, Err(error) if error.is_transient()) {
                is_doubtful.store(true, Ordering::Relaxed);
            }
            applied
        })
        .await;
        match applied {
            Err(StoreError::Superseded) if is_doubtful.into_inner() => {
                self.find_applied(&change).await
            }
            applied => applied,
        }
    }

    /// The change, if it stands after all: its commit may have gone through unheard. By its own id, for
    /// somebody else may have written the very same.
    async fn find_applied(&self, change: &Change<'_>) -> Result<(Operation, Event), StoreError> {
        let current = change.current;
        let event = operation_event::Entity::find_by_id((current.id, current.sequence + 1))
            .filter(operation_event::Column::ChangeId.eq(change.id))
            .one(&self.database)
            .await?;
        let is_ours = |operation: &Operation| {
            operation.sequence == current.sequence + 1
                && (change.guard != Guard::Owner
                    || operation.ownership.epoch == current.ownership.epoch)
        };
        match (self.get(current.id).await?.filter(is_ours), event) {
            (Some(operation), Some(event)) => Ok((operation, event.into())),
            _ => Err(StoreError::Superseded),
        }
    }

    async fn apply_once(&self, change: &Change<'_>) -> Result<(Operation, Event), StoreError> {
        if let State::Pending(_) = change.state {
            crash::at(Point::BeforeUpstreamIdStored);
        }
        if !change.state.has_ended() {
            let next = self.next(change);
            let (write, event) = self.write(change, &next);
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
        let changed = self.apply_in(&transaction, change).await?;
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

    /// Writes a change within a transaction of the caller's.
    pub(super) async fn apply_in(
        &self,
        transaction: &Transaction,
        change: &Change<'_>,
    ) -> Result<(Operation, Event), StoreError> {
        let mut next = self.next(change);
        if next.state == State::Done {
            next.connection_id = Some(self.link(transaction, &next).await?);
        }
        let (write, event) = self.write(change, &next);
        if !write.run_in(transaction).await? {
            return Err(StoreError::Superseded);
        }
        if let State::Failed(failure) | State::Canceled(failure) = &next.state
            && next.kind == Kind::Connect
        {
            removal::note(transaction, &left_behind(&next, failure)).await?;
        }
        Ok((next, event))
    }

    /// Writes the connection that a finished operation makes or renews, and what is told of it. Answers its id.
    ///
    /// # Errors
    /// [`StoreError::IdTaken`] when the auth session stands behind somebody else's connection.
    async fn link(
        &self,
        transaction: &Transaction,
        operation: &Operation,
    ) -> Result<Uuid, StoreError> {
        let sign_in = SignIn {
            user_id: operation.user_id,
            auth_session_id: &operation.auth_session_id,
            renews: operation.kind == Kind::Reconnect,
            at: operation.updated_at,
        };
        let new_id = self.random.uuid_at(operation.updated_at);
        let event = connections::link(transaction, &sign_in, new_id)
            .await
            .map_err(StoreError::of_intuneds_id)?;
        let connection_id = event.connection_id;
        self.outbox.put(transaction, event).await?;
        Ok(connection_id)
    }

    fn next(&self, change: &Change<'_>) -> Operation {
        let mut next = Operation {
            state: change.state.clone(),
            sequence: change.current.sequence + 1,
            updated_at: self.clock.now(),
            ..change.current.clone()
        };
        if next.state.has_ended() {
            next.ownership.owner = None;
        }
        next
    }

    /// The rows of a change: the operation's, its event's, and a line in the user's trail where it is told. They
    /// are to be written and announced to the other replicas.
    fn write(&self, change: &Change<'_>, next: &Operation) -> (Write, Event) {
        let Change { current, guard, .. } = change;
        let mut update = operation::Entity::update_many()
            .set(rows::changed_columns(next))
            .filter(operation::Column::Id.eq(current.id))
            .filter(operation::Column::Sequence.eq(current.sequence));
        if *guard == Guard::Owner {
            // Not `=`, for which Postgres may go through all that this replica drives.
            let same = BinOper::Custom("IS NOT DISTINCT FROM");
            let owner = Expr::col((operation::Entity, operation::Column::Owner));
            update = update
                .filter(owner.binary(same, current.ownership.owner))
                .filter(operation::Column::Epoch.eq(current.ownership.epoch));
        }
        let event = next.event(EventKind::Change, next.state.message(), next.updated_at);
        let mut write = Write::update(update.into_query())
            .and_insert(rows::event_row(next, &event, change.id))
            .and_call(announcement(self.replica, next.id, next.sequence));
        if let Some(event) = rows::audit_event(next, *guard) {
            write = write.and_insert(self.trail.row(event));
        }
        (write, event)
    }

    /// One operation; none when there is none of that id.
    pub(in crate::operations) async fn get(
        &self,
        id: Uuid,
    ) -> Result<Option<Operation>, StoreError> {
        let row = self.by_id.load_one(id).await?.transpose()?;
        Ok(row.map(Operation::try_from).transpose()?)
    }

    /// The user's operation in flight.
    pub(in crate::operations) async fn in_flight(
        &self,
        user_id: Uuid,
    ) -> Result<Option<Operation>, StoreError> {
        self.in_flight_in(&self.database, user_id).await
    }

    /// The user's operation in flight, within a transaction of the caller's.
    pub(in crate::operations) async fn in_flight_in(
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

    /// The operation that the key has begun, unless that was something else.
    pub(in crate::operations) async fn by_idempotency_key(
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
    pub(in crate::operations) async fn changes_after(
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

/// The removal of what a failed attempt may have left at Intuned. Where Intuned itself did not say that it is
/// over, the attempt may still be under way and make the session yet.
fn left_behind(operation: &Operation, failure: &Failure) -> session_removal::Model {
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
    session_removal::Model {
        auth_session_id: operation.auth_session_id.clone(),
        user_id: operation.user_id,
        requested_at: Millis(now),
        settles_at: Millis(settles_at),
        due_at: Millis(now),
        attempts: 0,
    }
}
