//! Noting which auth sessions are to be deleted at Intuned, in the transaction of the change that wants it. The
//! remover tries until Intuned confirms.

use chrono::TimeDelta;
use entity::{Millis, connection, connection::Service, session_removal};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, ExprTrait,
    QueryFilter, QuerySelect, QueryTrait, TryInsertResult, sea_query::Expr,
};
use uuid::Uuid;

use super::{
    model::{Event, Operation},
    state::{Failure, FailureCode, Observation, observe},
    store::{Guard, Store, StoreError, retry},
};
use crate::{
    audit::{self, Origin},
    platform::database::{self, Transaction},
};

/// For this long a removal is left to the one who has taken it up.
pub(super) const CLAIM: TimeDelta = TimeDelta::seconds(60);

/// Notes that what a failed attempt may have left at Intuned is to be deleted there. Where Intuned
/// itself did not say that it is over, the attempt may still be under way and make the session yet.
pub(super) async fn after_failure(
    database: &impl ConnectionTrait,
    operation: &Operation,
    failure: &Failure,
) -> Result<(), DbErr> {
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
    let removal = session_removal::Model {
        auth_session_id: operation.auth_session_id.clone(),
        user_id: operation.user_id,
        requested_at: Millis(now),
        settles_at: Millis(settles_at),
        due_at: Millis(now),
        attempts: 0,
    };
    note(database, &removal).await.map(drop)
}

/// Notes a removal. Answers whether that is new.
async fn note(
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

/// What holds of a connection that is not on its way out.
pub fn is_staying() -> Condition {
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

/// What the beginning of a disconnection found.
#[derive(Debug, Default)]
pub(super) struct Disconnection {
    /// The operation that it canceled, with the event of that.
    pub(super) canceled: Option<(Operation, Event)>,
    /// The removal of the connection's session; none when the user is not connected.
    pub(super) noted: Option<Noted>,
}

/// A removal of which a user has asked.
#[derive(Debug)]
pub(super) enum Noted {
    /// It is asked for now, and for a while left to the caller.
    Now(session_removal::Model),
    /// It was asked for before.
    Before(session_removal::Model),
}

/// Cancels the user's operation in flight and notes the connection's session for removal, both or
/// neither. The request is recorded, unless the removal was asked for before.
pub(super) async fn begin_disconnection(
    store: &Store,
    user_id: Uuid,
    origin: &Origin,
    polls: impl Fn(Operation) -> Operation,
) -> Result<Disconnection, StoreError> {
    retry(&store.metrics, || {
        begin_disconnection_once(store, user_id, origin, &polls)
    })
    .await
}

async fn begin_disconnection_once(
    store: &Store,
    user_id: Uuid,
    origin: &Origin,
    polls: impl Fn(Operation) -> Operation,
) -> Result<Disconnection, StoreError> {
    let transaction = database::begin(&store.database).await?;
    // Changed, not only locked: whoever waits for the lock looks at the row anew.
    let marked = connection::Entity::update_many()
        .col_expr(
            connection::Column::RemovingSessionId,
            Expr::col(connection::Column::AuthSessionId),
        )
        .filter(connection::Column::UserId.eq(user_id))
        .filter(connection::Column::Service.eq(Service::OrangeHrm))
        .exec_with_returning(&transaction)
        .await?;
    let mut disconnection = Disconnection::default();
    if let Some(operation) = store.in_flight_in(&transaction, user_id).await?.map(polls)
        && let Ok(Some(canceled)) = observe(&operation.state, Observation::CanceledByUser)
    {
        let change = store
            .apply_in(
                &transaction,
                &operation,
                canceled,
                Guard::Sequence(origin),
                store.random.uuid(),
            )
            .await?;
        disconnection.canceled = Some(change);
    }
    if let Some(connection) = marked.into_iter().next() {
        let noted = note_connection(store, &transaction, connection).await?;
        if let Noted::Now(_) = noted {
            let requested = audit::Event::new(user_id, audit::Kind::DisconnectRequested);
            let requested = requested.by(origin);
            store.trail.record(&transaction, requested).await?;
        }
        disconnection.noted = Some(noted);
    }
    transaction.commit().await?;
    Ok(disconnection)
}

async fn note_connection(
    store: &Store,
    transaction: &Transaction,
    connection: connection::Model,
) -> Result<Noted, DbErr> {
    let now = store.clock.now();
    let removal = session_removal::Model {
        auth_session_id: connection.auth_session_id,
        user_id: connection.user_id,
        requested_at: Millis(now),
        // An attempt to renew it that was given up may still be under way at Intuned.
        settles_at: Millis(now + store.timeout),
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
