//! The connection that a finished operation makes or renews.

use entity::{Millis, connection, connection::Service};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, DbErr, EntityTrait, QueryFilter,
    sea_query::OnConflict,
};
use uuid::Uuid;

use super::{
    model::Operation,
    state::Kind,
    store::{Store, StoreError},
};
use crate::{
    platform::database::Transaction,
    webhooks::{self, ConnectionEvent},
};

/// Writes the connection, and what is told of it. Answers its id.
///
/// # Errors
/// [`StoreError::IdTaken`] when the auth session stands behind somebody else's connection.
pub(super) async fn connect(
    store: &Store,
    transaction: &Transaction,
    operation: &Operation,
) -> Result<Uuid, StoreError> {
    let new_id = store.random.uuid_at(operation.updated_at);
    let renewed = match operation.kind {
        Kind::Reconnect => renew(transaction, operation).await?,
        Kind::Connect => None,
    };
    let connection_id = match renewed {
        Some(id) => id,
        None => make(transaction, operation, new_id)
            .await
            .map_err(StoreError::of_intuneds_id)?,
    };
    let kind = if connection_id == new_id {
        webhooks::Kind::Created
    } else {
        webhooks::Kind::Renewed
    };
    let event = ConnectionEvent {
        kind,
        connection_id,
        user_id: operation.user_id,
        occurred_at: operation.updated_at,
    };
    store.outbox.put(transaction, event).await?;
    Ok(connection_id)
}

/// The renewed connection's id; none when it is gone. `SQLite` does not take an insert for an update when it
/// is the like of a row by two indexes, and a renewal is that: of its user, and of its session.
async fn renew(
    transaction: &Transaction,
    operation: &Operation,
) -> Result<Option<Uuid>, StoreError> {
    let connection = connection::ActiveModel {
        auth_session_id: Set(operation.auth_session_id.clone()),
        connected_at: Set(Millis(operation.updated_at)),
        expired_at: Set(None),
        ..Default::default()
    };
    let renewed = connection::Entity::update_many()
        .set(connection)
        .filter(connection::Column::UserId.eq(operation.user_id))
        .filter(connection::Column::Service.eq(Service::OrangeHrm))
        .exec_with_returning(transaction)
        .await
        .map_err(StoreError::of_intuneds_id)?;
    Ok(renewed.first().map(|connection| connection.id))
}

async fn make(
    transaction: &Transaction,
    operation: &Operation,
    new_id: Uuid,
) -> Result<Uuid, DbErr> {
    let row = connection::ActiveModel {
        id: Set(new_id),
        user_id: Set(operation.user_id),
        service: Set(Service::OrangeHrm),
        auth_session_id: Set(operation.auth_session_id.clone()),
        created_at: Set(Millis(operation.updated_at)),
        connected_at: Set(Millis(operation.updated_at)),
        expired_at: Set(None),
        removing_session_id: NotSet,
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
    Ok(connection.id)
}
