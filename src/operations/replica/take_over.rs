//! Operations change hands: taken over from an owner that is dead, or released for others to take.

use std::time::Duration;

use entity::{operation, replica};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, QueryFilter,
    QueryResult, QuerySelect, QueryTrait,
    sea_query::{Expr, IntoCondition, LockBehavior, LockType},
};
use uuid::Uuid;

use crate::{
    operations::{
        follow::LocalBus,
        model::Operation,
        store::{Store, StoreError},
    },
    platform::database,
};

/// The number of operations that one look takes over, so that several replicas share them.
pub(super) const AT_ONCE: u64 = 1000;

/// Makes this replica the owner of operations whose owner has left or died. Answers their rows.
pub(super) async fn take_over(store: &Store, lease: Duration) -> Result<Vec<QueryResult>, DbErr> {
    let dead_before = database::clock(&store.database).sub(millis(lease));
    let alive = replica::Entity::find()
        .select_only()
        .column(replica::Column::Id)
        .filter(Expr::col(replica::Column::BeatAt).gte(dead_before))
        .into_query();
    // This replica is alive, whatever its row seems to be when the database's clock jumps.
    let orphaned = operation::Column::Owner
        .ne(store.replica)
        .and(operation::Column::Owner.not_in_subquery(alive));
    let orphans = operation::Entity::find()
        .select_only()
        .column(operation::Column::Id)
        .filter(operation::Column::EndedAt.is_null())
        .filter(operation::Column::Owner.is_null().or(orphaned))
        .limit(AT_ONCE)
        // Two replicas that look at once take different ones.
        .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
        .into_query();
    let mut take_over = operation::Entity::update_many()
        .col_expr(operation::Column::Owner, Expr::value(store.replica))
        .col_expr(
            operation::Column::Epoch,
            Expr::col(operation::Column::Epoch).add(1),
        )
        .filter(operation::Column::Id.in_subquery(orphans))
        .into_query();
    take_over.returning_all();
    store.database.query_all(&take_over).await
}

/// Releases operations that are this replica's by the table although it does not drive them: the
/// answer to taking them over was lost, say.
pub(super) async fn release_lost(
    store: &Store,
    lease: Duration,
    bus: &LocalBus,
) -> Result<(), DbErr> {
    let settled = database::clock(&store.database).sub(millis(lease));
    let own: Vec<Uuid> = operation::Entity::find()
        .select_only()
        .column(operation::Column::Id)
        .filter(operation::Column::Owner.eq(store.replica))
        .filter(operation::Column::EndedAt.is_null())
        .filter(Expr::col(operation::Column::CreatedAt).lt(settled))
        .into_tuple()
        .all(&store.database)
        .await?;
    let lost = own.into_iter().filter(|id| !bus.is_driven_here(*id));
    let lost: Vec<Uuid> = lost.collect();
    if lost.is_empty() {
        return Ok(());
    }
    tracing::warn!(
        operations = lost.len(),
        "operations were not driven; they are taken up"
    );
    operation::Entity::update_many()
        .col_expr(operation::Column::Owner, Expr::value(Option::<Uuid>::None))
        .filter(operation::Column::Id.is_in(lost))
        .filter(operation::Column::Owner.eq(store.replica))
        .exec(&store.database)
        .await?;
    Ok(())
}

/// Releases what of `which` is still this replica's own, so that it is taken over anew, by whomever.
pub(super) async fn release(store: &Store, which: impl IntoCondition) -> Result<u64, DbErr> {
    let released = operation::Entity::update_many()
        .col_expr(operation::Column::Owner, Expr::value(Option::<Uuid>::None))
        .filter(operation::Column::Owner.eq(store.replica))
        .filter(operation::Column::EndedAt.is_null())
        .filter(which)
        .exec(&store.database)
        .await?;
    Ok(released.rows_affected)
}

/// One row that makes no sense must not keep the others from being taken up.
pub(super) fn readable(row: &QueryResult) -> Option<Operation> {
    let read = operation::Model::from_query_result(row, "").map_err(StoreError::from);
    let operation = read.and_then(|row| Ok(Operation::try_from(row)?));
    operation
        .inspect_err(|error| {
            let id: Option<Uuid> = row.try_get("", "id").ok();
            tracing::error!(operation.id = ?id, %error, "an operation cannot be driven");
        })
        .ok()
}

/// The time in milliseconds, as the database's clock is asked about it.
pub(super) fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
