//! Deletes operations that ended long ago, with their changes.

use std::time::Duration;

use chrono::TimeDelta;
use entity::{Millis, operation};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::table::Store;
use ambient::first_uuid_at;

const PRUNE_EVERY: Duration = Duration::from_hours(1);
const PRUNE_AT_ONCE: u64 = 500;

/// Deletes what ended more than `retention` ago until `shutdown`. Several replicas may do so at once.
pub(in crate::operations) async fn prune(
    store: Store,
    retention: Duration,
    shutdown: CancellationToken,
) {
    let retention = TimeDelta::from_std(retention).unwrap_or(TimeDelta::MAX);
    let mut looks = interval(store.random.jitter(PRUNE_EVERY, 0.2));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while shutdown.run_until_cancelled(looks.tick()).await.is_some() {
        let pruned = shutdown.run_until_cancelled(prune_once(&store, retention));
        if let Some(Err(error)) = pruned.await {
            tracing::warn!(%error, "old operations were not deleted");
        }
    }
}

async fn prune_once(store: &Store, retention: TimeDelta) -> Result<(), DbErr> {
    let Some(before) = store.clock.now().checked_sub_signed(retention) else {
        return Ok(());
    };
    loop {
        let old = operation::Entity::find()
            .select_only()
            .column(operation::Column::Id)
            // Ids sort by when it began, and have an index.
            .filter(operation::Column::Id.lt(first_uuid_at(before)))
            .filter(operation::Column::EndedAt.lt(Millis(before)))
            .limit(PRUNE_AT_ONCE)
            .into_query();
        let pruned = operation::Entity::delete_many()
            .filter(operation::Column::Id.in_subquery(old))
            .exec(&store.database)
            .await?;
        if pruned.rows_affected < PRUNE_AT_ONCE {
            return Ok(());
        }
    }
}
