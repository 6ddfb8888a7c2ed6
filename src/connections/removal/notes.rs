//! Notes of which auth sessions are to be deleted at Intuned, made in the transaction of the change that wants it.

use chrono::{DateTime, TimeDelta, Utc};
use entity::{Millis, connection, connection::Service, session_removal};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait,
    QueryFilter, QuerySelect, QueryTrait, TryInsertResult, sea_query::Expr,
};
use uuid::Uuid;

use crate::platform::database::Transaction;

/// The time for which a removal is left to the one who has taken it up.
pub(super) const CLAIM: TimeDelta = TimeDelta::seconds(60);

/// A removal of which a user has asked.
#[derive(Debug)]
pub(crate) enum Noted {
    /// It is asked for now, and for a while left to the caller.
    Now(session_removal::Model),
    /// It was asked for before.
    Before(session_removal::Model),
}

/// Notes a removal. Answers true when that is new.
pub(crate) async fn note(
    database: &impl ConnectionTrait,
    removal: &session_removal::Model,
) -> Result<bool, DbErr> {
    let row = session_removal::ActiveModel::from(removal.clone()).reset_all();
    let noted = session_removal::Entity::insert(row)
        .on_conflict_do_nothing()
        .exec_without_returning(database)
        .await?;
    Ok(matches!(noted, TryInsertResult::Inserted(1)))
}

/// The condition of a connection that is not on its way out.
pub(crate) fn is_staying() -> Condition {
    use session_removal::Column::AuthSessionId as Noted;
    let of_connection = |column| Expr::col((connection::Entity, column));
    let session = || of_connection(connection::Column::AuthSessionId);
    let mark = || of_connection(connection::Column::RemovingSessionId);
    let unmarked = mark().is_null().or(mark().ne(session()));
    // Replicas of a release before the mark only note the removal (docs/decisions/0013).
    let noted = session_removal::Entity::find()
        .select_only()
        .column(Noted)
        .filter(Expr::col((session_removal::Entity, Noted)).eq(session()))
        .into_query();
    Condition::all().add(unmarked).add(Expr::not_exists(noted))
}

/// Marks the user's connection as on its way out; none when the user is not connected.
pub(crate) async fn mark(
    transaction: &Transaction,
    user_id: Uuid,
) -> Result<Option<connection::Model>, DbErr> {
    // Changed, not only locked: whoever waits for the lock looks at the row anew.
    let marked = connection::Entity::update_many()
        .col_expr(
            connection::Column::RemovingSessionId,
            Expr::col(connection::Column::AuthSessionId),
        )
        .filter(connection::Column::UserId.eq(user_id))
        .filter(connection::Column::Service.eq(Service::OrangeHrm))
        .exec_with_returning(transaction)
        .await?;
    Ok(marked.into_iter().next())
}

/// Notes the removal of a connection's session. After `settle`, no attempt to renew the session can be under
/// way at Intuned any more.
pub(crate) async fn note_connection(
    transaction: &Transaction,
    connection: connection::Model,
    now: DateTime<Utc>,
    settle: TimeDelta,
) -> Result<Noted, DbErr> {
    let removal = session_removal::Model {
        auth_session_id: connection.auth_session_id,
        user_id: connection.user_id,
        requested_at: Millis(now),
        settles_at: Millis(now + settle),
        // The caller asks Intuned at once; this is for when it cannot.
        due_at: Millis(now + CLAIM),
        attempts: 0,
    };
    if note(transaction, &removal).await? {
        return Ok(Noted::Now(removal));
    }
    let before = session_removal::Entity::find_by_id(&removal.auth_session_id)
        .one(transaction)
        .await?;
    Ok(Noted::Before(before.unwrap_or(removal)))
}
