//! The connection that a finished sign-in makes or renews.

use chrono::{DateTime, Utc};
use entity::{Millis, connection, connection::Service};
use sea_orm::{
    ActiveValue::{NotSet, Set},
    ColumnTrait, DbErr, EntityTrait, QueryFilter,
    sea_query::OnConflict,
};
use uuid::Uuid;

use crate::{
    platform::database::Transaction,
    webhooks::{self, ConnectionEvent},
};

/// A sign-in that has ended well.
#[derive(Debug)]
pub(crate) struct SignIn<'a> {
    /// The user who signed in.
    pub(crate) user_id: Uuid,
    /// The session that it made or renewed.
    pub(crate) auth_session_id: &'a str,
    /// True when the user was connected as it began.
    pub(crate) renews: bool,
    /// The instant at which it ended.
    pub(crate) at: DateTime<Utc>,
}

/// Writes the sign-in's connection: under `new_id`, unless there is one to renew. Answers what is to be told
/// of it.
///
/// # Errors
/// The database's. A unique index is violated when the session stands behind somebody else's connection.
pub(crate) async fn link(
    transaction: &Transaction,
    sign_in: &SignIn<'_>,
    new_id: Uuid,
) -> Result<ConnectionEvent, DbErr> {
    let renewed = if sign_in.renews {
        renew(transaction, sign_in).await?
    } else {
        None
    };
    let connection_id = match renewed {
        Some(id) => id,
        None => make(transaction, sign_in, new_id).await?,
    };
    let kind = if connection_id == new_id {
        webhooks::Kind::Created
    } else {
        webhooks::Kind::Renewed
    };
    Ok(ConnectionEvent {
        kind,
        connection_id,
        user_id: sign_in.user_id,
        occurred_at: sign_in.at,
    })
}

/// The renewed connection's id; none when it is gone. `SQLite` does not take an insert for an update when it
/// is the like of a row by two indexes, and a renewal is that: of its user, and of its session.
async fn renew(transaction: &Transaction, sign_in: &SignIn<'_>) -> Result<Option<Uuid>, DbErr> {
    let connection = connection::ActiveModel {
        auth_session_id: Set(sign_in.auth_session_id.to_owned()),
        connected_at: Set(Millis(sign_in.at)),
        expired_at: Set(None),
        ..Default::default()
    };
    let renewed = connection::Entity::update_many()
        .set(connection)
        .filter(connection::Column::UserId.eq(sign_in.user_id))
        .filter(connection::Column::Service.eq(Service::OrangeHrm))
        .exec_with_returning(transaction)
        .await?;
    Ok(renewed.first().map(|connection| connection.id))
}

async fn make(
    transaction: &Transaction,
    sign_in: &SignIn<'_>,
    new_id: Uuid,
) -> Result<Uuid, DbErr> {
    let row = connection::ActiveModel {
        id: Set(new_id),
        user_id: Set(sign_in.user_id),
        service: Set(Service::OrangeHrm),
        auth_session_id: Set(sign_in.auth_session_id.to_owned()),
        created_at: Set(Millis(sign_in.at)),
        connected_at: Set(Millis(sign_in.at)),
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
