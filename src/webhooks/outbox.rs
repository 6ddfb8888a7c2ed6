//! What is to be told, written down in the transaction of what happened.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use entity::{Millis, webhook_delivery};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    DbErr, EntityTrait,
};
use tokio::sync::Notify;
use uuid::Uuid;

use super::Kind;
use crate::platform::database::Transaction;
use ambient::Random;

/// Something that happened to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionEvent {
    /// What happened.
    pub kind: Kind,
    /// To which connection.
    pub connection_id: Uuid,
    /// Whose it is.
    pub user_id: Uuid,
    /// When it happened.
    pub occurred_at: DateTime<Utc>,
}

/// Takes what is to be told. Clones share everything.
#[derive(Clone, Debug)]
pub struct Outbox(Option<Open>);

#[derive(Clone, Debug)]
struct Open {
    random: Random,
    filled: Arc<Notify>,
}

impl Outbox {
    /// For a gateway that tells nobody: takes everything and keeps nothing.
    pub fn closed() -> Self {
        Self(None)
    }

    /// Notifies `filled` when something is to be delivered.
    pub(super) fn new(random: Random, filled: Arc<Notify>) -> Self {
        Self(Some(Open { random, filled }))
    }

    /// Writes down that `event` is to be told: exactly when the transaction is committed. Call
    /// [`Outbox::committed`] then.
    ///
    /// # Errors
    /// The database's.
    pub async fn put(
        &self,
        transaction: &Transaction,
        event: ConnectionEvent,
    ) -> Result<(), DbErr> {
        let Some(open) = &self.0 else {
            return Ok(());
        };
        let delivery = webhook_delivery::ActiveModel {
            position: NotSet,
            event_id: Set(open.random.uuid_at(event.occurred_at)),
            kind: Set(event.kind),
            connection_id: Set(event.connection_id),
            user_id: Set(event.user_id),
            occurred_at: Set(Millis(event.occurred_at)),
            due_at: Set(Millis(DateTime::UNIX_EPOCH)),
            attempts: Set(0),
            outcome: Set(None),
            settled_at: Set(None),
        };
        webhook_delivery::Entity::insert(delivery)
            .exec_without_returning(transaction)
            .await?;
        Ok(())
    }

    /// Has what was put delivered at once. Without this call it is found a little later.
    pub fn committed(&self) {
        if let Some(open) = &self.0 {
            open.filled.notify_one();
        }
    }
}
