//! Expiry of a connection: written down, and told, once, by whoever hears of it first. A run that
//! ends well takes it back.

use entity::{Millis, connection};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, sea_query::Expr};

use super::{Connections, removal};
use crate::{
    audit,
    platform::database,
    webhooks::{self, ConnectionEvent},
};
use intuned_client::AuthSessionStatus;

impl Connections {
    /// Takes note of what Intuned said of the connection as it was read. It writes only when it is news that
    /// it has expired.
    ///
    /// A session that is ready does not take it back: it was when Intuned looked last, and a run may have
    /// ended because of it since.
    pub async fn found(&self, connection: &connection::Model, status: AuthSessionStatus) {
        if let (AuthSessionStatus::Expired, None) = (status, connection.expired_at) {
            unless_failed(connection, self.expire(connection).await);
        }
    }

    /// Takes note that a run with the connection as it was read ended well: whatever was heard before, it has
    /// not expired.
    pub(super) async fn worked(&self, connection: &connection::Model) {
        if connection.expired_at.is_some() {
            unless_failed(connection, self.revive(connection).await);
        }
    }

    async fn expire(&self, connection: &connection::Model) -> Result<(), DbErr> {
        let now = self.clock.now();
        let transaction = database::begin(&self.database).await?;
        let expired = connection::Entity::update_many()
            .col_expr(connection::Column::ExpiredAt, Expr::value(Millis(now)))
            .filter(connection::Column::Id.eq(connection.id))
            .filter(connection::Column::ExpiredAt.is_null())
            // Neither renewed since it was read, nor on its way out.
            .filter(connection::Column::ConnectedAt.eq(connection.connected_at))
            .filter(removal::is_staying())
            .exec(&transaction)
            .await?;
        if expired.rows_affected == 0 {
            return transaction.rollback().await;
        }
        let event = ConnectionEvent {
            kind: webhooks::Kind::Expired,
            connection_id: connection.id,
            user_id: connection.user_id,
            occurred_at: now,
        };
        self.outbox.put(&transaction, event).await?;
        let event = audit::Event::new(connection.user_id, audit::Kind::ConnectionExpired);
        self.trail.record(&transaction, event).await?;
        transaction.commit().await?;
        self.outbox.committed();
        Ok(())
    }

    async fn revive(&self, connection: &connection::Model) -> Result<(), DbErr> {
        connection::Entity::update_many()
            .col_expr(
                connection::Column::ExpiredAt,
                Expr::value(Option::<Millis>::None),
            )
            .filter(connection::Column::Id.eq(connection.id))
            .filter(connection::Column::ExpiredAt.eq(connection.expired_at))
            .exec(&self.database)
            .await?;
        match &self.kept_statuses {
            Some(kept) => kept.forget(connection).await,
            None => Ok(()),
        }
    }
}

/// Whoever reads next finds it again.
fn unless_failed(connection: &connection::Model, written: Result<(), DbErr>) {
    if let Err(error) = written {
        tracing::warn!(connection.id = %connection.id, %error, "what became of a connection was not written");
    }
}
