//! The beginning of an operation in the database: its row, its first event and a line in the user's
//! trail, all of them or none.

use std::sync::atomic::{AtomicBool, Ordering};

use entity::{Millis, audit_event, connection, connection::Service, operation};
use sea_orm::{
    ActiveValue::NotSet,
    ColumnTrait, DbErr, EntityTrait, ExprTrait, JoinType, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{CaseStatement, Expr, Func, Query},
};
use uuid::Uuid;

use super::{
    error::StoreError,
    fingerprint::IdempotencyKey,
    retry::retry,
    rows,
    table::{IDEMPOTENCY_WINDOW, Store},
};
use crate::{
    audit::{self, Origin},
    connections::removal,
    operations::{
        model::{Event, EventKind, FIRST_EPOCH, Operation, Ownership},
        state::{Kind, State},
    },
    platform::database::{self, Write},
};

/// The number of tries at a new row while others of the user's come and go.
const INSERT_TRIES: usize = 20;

/// The outcome of a wish to start an operation.
#[derive(Debug)]
pub(in crate::operations) enum Inserted {
    /// It stands.
    New(Operation, Event),
    /// This one was started before, by the same idempotency key or by an earlier try.
    Repeat(Operation),
    /// This one is in flight.
    Busy(Uuid),
}

impl Store {
    /// Writes a new operation of the user's, owned by this replica: a re-connect when a connection
    /// stands that is not being removed.
    pub(in crate::operations) async fn insert(
        &self,
        user_id: Uuid,
        key: Option<&IdempotencyKey>,
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
            self.insert_once(id, user_id, key, origin).await
        })
        .await
    }

    fn found_inserted(&self, operation: Operation) -> Inserted {
        if operation.ownership != self.first_ownership() {
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
        key: Option<&IdempotencyKey>,
        origin: &Origin,
    ) -> Result<Inserted, StoreError> {
        if let Some(repeated) = self.repeated(id, user_id, key).await? {
            return Ok(repeated);
        }
        for _ in 0..INSERT_TRIES {
            match self.insert_row(id, user_id, key, origin).await {
                Ok(Some((operation, event))) => return Ok(Inserted::New(operation, event)),
                Ok(None) => {}
                Err(error) if database::is_unique_violation(&error) => {}
                Err(error) if database::is_foreign_key_violation(&error) => {
                    return Err(StoreError::NoUser);
                }
                Err(error) => return Err(error.into()),
            }
            // An earlier try may have been given up here and yet stand, after the last look for it.
            if let Some(operation) = self.get(id).await? {
                return Ok(self.found_inserted(operation));
            }
            if let Some(repeated) = self.repeated(id, user_id, key).await? {
                return Ok(repeated);
            }
            if let Some(busy) = self.in_flight(user_id).await? {
                return Ok(Inserted::Busy(busy.id));
            }
            // It has ended since, or the key is one from before the window.
            if let Some(key) = key {
                self.forget_idempotency_key(user_id, &key.text).await?;
            }
        }
        Err(StoreError::Superseded)
    }

    /// The operation that the key has begun before: by an earlier try of the same wish, perhaps.
    async fn repeated(
        &self,
        id: Uuid,
        user_id: Uuid,
        key: Option<&IdempotencyKey>,
    ) -> Result<Option<Inserted>, StoreError> {
        let Some(key) = key else {
            return Ok(None);
        };
        let repeated = self.by_idempotency_key(user_id, key).await?;
        Ok(repeated.map(|operation| {
            if operation.id == id {
                self.found_inserted(operation)
            } else {
                Inserted::Repeat(operation)
            }
        }))
    }

    /// Inserts the row; none when one of the user's is in flight.
    async fn insert_row(
        &self,
        id: Uuid,
        user_id: Uuid,
        key: Option<&IdempotencyKey>,
        origin: &Origin,
    ) -> Result<Option<(Operation, Event)>, DbErr> {
        let (mut operation, event) = self.begin(id, user_id);
        let insert = insert(&operation, key);
        let insert = insert.and_insert(rows::event_row(&operation, &event, id));
        let write = insert.and_insert(self.start_recorded(&operation, origin));
        let session = Expr::col(operation::Column::AuthSessionId);
        let session: Option<String> = write.run_returning(session, &self.database).await?;
        let Some(session) = session else {
            return Ok(None);
        };
        if session != operation.auth_session_id {
            operation.kind = Kind::Reconnect;
            operation.auth_session_id = session;
        }
        Ok(Some((operation, event)))
    }

    /// A new operation, which makes an auth session unless there is one to renew.
    fn begin(&self, id: Uuid, user_id: Uuid) -> (Operation, Event) {
        let now = self.clock.now();
        let operation = Operation {
            id,
            user_id,
            kind: Kind::Connect,
            state: State::Starting,
            sequence: 1,
            auth_session_id: self.random.uuid().to_string(),
            connection_id: None,
            polls: 0,
            ownership: self.first_ownership(),
            created_at: now,
            updated_at: now,
            expires_at: now + self.timeout,
        };
        let event = operation.event(EventKind::Change, operation.state.message(), now);
        (operation, event)
    }

    /// Lets the key be used again.
    async fn forget_idempotency_key(&self, user_id: Uuid, key: &str) -> Result<(), DbErr> {
        let since = Millis(self.clock.now() - IDEMPOTENCY_WINDOW);
        operation::Entity::update_many()
            .col_expr(
                operation::Column::IdempotencyKey,
                Expr::value(Option::<String>::None),
            )
            .col_expr(
                operation::Column::InputFingerprint,
                Expr::value(Option::<String>::None),
            )
            .filter(operation::Column::UserId.eq(user_id))
            .filter(operation::Column::IdempotencyKey.eq(key))
            .filter(operation::Column::CreatedAt.lte(since))
            .exec(&self.database)
            .await?;
        Ok(())
    }

    /// The line in the user's trail that the operation has begun.
    fn start_recorded(&self, operation: &Operation, origin: &Origin) -> audit_event::ActiveModel {
        let started = audit::Event {
            operation_id: Some(operation.id),
            ..audit::Event::new(operation.user_id, audit::Kind::ConnectStarted).by(origin)
        };
        self.trail.row(started)
    }

    /// The ownership of an operation that begins on this replica.
    fn first_ownership(&self) -> Ownership {
        Ownership {
            owner: Some(self.replica),
            epoch: FIRST_EPOCH,
        }
    }
}

/// Inserts the operation, unless one of the user's is in flight. It renews the auth session of the user's
/// connection, which is locked against being removed at the same time, if there is one that is not on its
/// way out.
///
/// All of a statement sees the database as it was when it began, but a row that it waited for as that row
/// is now: so the mark of a removal is seen, and so an end that is being written makes this insert nothing,
/// rather than insert without the connection that the end leaves.
fn insert(operation: &Operation, key: Option<&IdempotencyKey>) -> Write {
    const RENEWED: &str = "renewed";
    let renewed = connection::Entity::find()
        .select_only()
        .column(connection::Column::AuthSessionId)
        .filter(connection::Column::UserId.eq(operation.user_id))
        .filter(connection::Column::Service.eq(Service::OrangeHrm))
        .filter(removal::is_staying())
        .lock_exclusive()
        .into_query();
    let in_flight = operation::Entity::find()
        .select_only()
        .column(operation::Column::Id)
        .filter(operation::Column::UserId.eq(operation.user_id))
        .filter(operation::Column::EndedAt.is_null())
        .into_query();
    let one = Query::select().expr(Expr::cust("1")).take();
    let of = Query::select()
        .from_subquery(one, "one")
        .join_subquery(JoinType::LeftJoin, renewed, RENEWED, Expr::val(true))
        .and_where(Expr::not_exists(in_flight))
        .take();
    let session = || Expr::col((RENEWED, connection::Column::AuthSessionId));
    let kind = CaseStatement::new()
        .case(session().is_null(), operation::Kind::Connect)
        .finally(operation::Kind::Reconnect);
    let row = operation::ActiveModel {
        kind: NotSet,
        auth_session_id: NotSet,
        ..rows::new_row(operation, key)
    };
    let own = operation.auth_session_id.as_str();
    Write::insert_for(
        of,
        row,
        [
            (operation::Column::Kind, kind.into()),
            (
                operation::Column::AuthSessionId,
                Func::coalesce([session(), own.into()]).into(),
            ),
        ],
    )
}
