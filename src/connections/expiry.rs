//! That a connection has expired is written down, and told, once: by whoever hears of it first.

use entity::{Millis, connection};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, sea_query::Expr};

use super::Connections;
use crate::{
    audit, database,
    intuned::AuthSessionStatus,
    operations,
    webhooks::{self, ConnectionEvent},
};

impl Connections {
    /// Takes note of what Intuned said of the connection as it was read. It writes only when that is
    /// news: that it has expired, or that one that had expired is ready again by itself.
    pub async fn found(&self, connection: &connection::Model, status: AuthSessionStatus) {
        let written = match (status, connection.expired_at) {
            (AuthSessionStatus::Expired, None) => self.expire(connection).await,
            (AuthSessionStatus::Ready, Some(_)) => self.revive(connection).await,
            _ => return,
        };
        if let Err(error) = written {
            // Whoever reads the status next finds it again.
            tracing::warn!(connection.id = %connection.id, %error, "what became of a connection was not written");
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
            .filter(operations::is_staying())
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
        Ok(())
    }
}
