//! The beginning of an operation in the database: its row, its first event and a line in the user's
//! trail, all of them or none.

use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, Utc};
use entity::{Millis, connection, connection::Service, operation, session_removal};
use sea_orm::{
    ColumnTrait, DatabaseTransaction, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait,
    Select, sea_query::Expr,
};
use uuid::Uuid;

use super::{
    model::{Event, EventKind, FIRST_EPOCH, Lease, Operation},
    rows,
    state::{Kind, State},
    store::{IDEMPOTENCY_WINDOW, Store, StoreError, retry},
};
use crate::{
    audit::{self, Origin},
    database::{self, Write},
};

/// How often a new row is tried while others of the user's come and go.
const INSERT_TRIES: usize = 20;

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
        if let Some(repeated) = self.repeated(id, user_id, idempotency_key).await? {
            return Ok(repeated);
        }
        for attempt in 0..INSERT_TRIES {
            let inserted = match attempt {
                0 => {
                    self.insert_first(id, user_id, idempotency_key, origin)
                        .await
                }
                _ => self.insert_row(id, user_id, idempotency_key, origin).await,
            };
            match inserted {
                Err(StoreError::Database(error)) if database::is_unique_violation(&error) => {}
                Err(StoreError::Database(error)) if database::is_foreign_key_violation(&error) => {
                    return Err(StoreError::NoUser);
                }
                inserted => return inserted,
            }
            // An earlier try may have been given up here and yet stand, after the last look for it.
            if let Some(operation) = self.get(id).await? {
                return Ok(self.found_inserted(operation));
            }
            if let Some(repeated) = self.repeated(id, user_id, idempotency_key).await? {
                return Ok(repeated);
            }
            if let Some(busy) = self.in_flight(user_id).await? {
                return Ok(Inserted::Busy(busy.id));
            }
            // It has ended since.
        }
        Err(StoreError::Superseded)
    }

    /// What the key has begun before: by an earlier try of the same wish, perhaps.
    async fn repeated(
        &self,
        id: Uuid,
        user_id: Uuid,
        idempotency_key: Option<&str>,
    ) -> Result<Option<Inserted>, StoreError> {
        let Some(key) = idempotency_key else {
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

    async fn insert_row(
        &self,
        id: Uuid,
        user_id: Uuid,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<Inserted, StoreError> {
        let transaction = database::begin(&self.database).await?;
        if let Some(key) = idempotency_key {
            forget_idempotency_key(&transaction, user_id, key, self.clock.now()).await?;
        }
        let renewed = connection_to_renew(&transaction, user_id).await?;
        let (operation, event) = self.begin(id, user_id, renewed);
        let row = rows::new_row(&operation, idempotency_key);
        self.record_start(Write::insert(row), (&operation, &event), origin)
            .run(&transaction)
            .await?;
        transaction.commit().await?;
        Ok(Inserted::New(operation, event))
    }

    /// The same in one statement, where that is possible: for a user who has no connection yet.
    async fn insert_first(
        &self,
        id: Uuid,
        user_id: Uuid,
        idempotency_key: Option<&str>,
        origin: &Origin,
    ) -> Result<Inserted, StoreError> {
        if database::is_one_statement(&self.database) {
            let (operation, event) = self.begin(id, user_id, None);
            let row = rows::new_row(&operation, idempotency_key);
            let connection = connection_of(user_id).select_only().expr(Expr::cust("1"));
            let insert = Write::insert_unless(row, connection.into_query());
            let started = self.record_start(insert, (&operation, &event), origin);
            if started.run(&self.database).await? {
                return Ok(Inserted::New(operation, event));
            }
        }
        self.insert_row(id, user_id, idempotency_key, origin).await
    }

    /// A new operation, which renews this auth session if there is one.
    fn begin(&self, id: Uuid, user_id: Uuid, renewed: Option<String>) -> (Operation, Event) {
        let now = self.clock.now();
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
        (operation, event)
    }

    fn record_start(
        &self,
        insert: Write,
        (operation, event): (&Operation, &Event),
        origin: &Origin,
    ) -> Write {
        let started = audit::Event {
            operation_id: Some(operation.id),
            ..audit::Event::new(operation.user_id, audit::Kind::ConnectStarted).by(origin)
        };
        insert
            .and_insert(rows::event_row(operation, event, operation.id))
            .and_insert(self.trail.row(started))
    }

    /// Of an operation that begins on this replica.
    fn first_lease(&self) -> Lease {
        Lease {
            owner: Some(self.replica),
            epoch: FIRST_EPOCH,
        }
    }
}

/// The auth session of the user's connection, locked against being removed at the same time; none
/// when there is no connection, or its session is on its way out.
async fn connection_to_renew(
    transaction: &DatabaseTransaction,
    user_id: Uuid,
) -> Result<Option<String>, DbErr> {
    let connection = connection_of(user_id).lock_exclusive();
    let Some(connection) = connection.one(transaction).await? else {
        return Ok(None);
    };
    let removal = session_removal::Entity::find_by_id(&connection.auth_session_id)
        .one(transaction)
        .await?;
    Ok(removal.is_none().then_some(connection.auth_session_id))
}

fn connection_of(user_id: Uuid) -> Select<connection::Entity> {
    connection::Entity::find()
        .filter(connection::Column::UserId.eq(user_id))
        .filter(connection::Column::Service.eq(Service::OrangeHrm))
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
