//! The deliveries to make, in the database: taken up by one replica at a time, by the database's
//! clock.

use std::time::Duration;

use entity::{
    Millis,
    webhook_delivery::{self, Outcome},
};
use sea_orm::{
    ColumnTrait, DbErr, EntityTrait, ExprTrait, FromQueryResult, QueryFilter, QueryOrder,
    QuerySelect, QueryTrait,
    sea_query::{Alias, Expr, LockBehavior, LockType, Query, SelectStatement},
};

use crate::platform::database::{self, Database};

/// How many settled deliveries are deleted at once.
const PRUNE_AT_ONCE: u64 = 1000;

/// Deliveries, as the replicas share them.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    pub(super) database: Database,
    /// For how long a delivery is left to whoever has taken it up.
    pub(super) lease: Duration,
}

/// What is still to be delivered.
#[derive(Debug, Default, FromQueryResult)]
pub(super) struct Backlog {
    pub(super) waiting: i64,
    /// When the oldest of it happened.
    pub(super) oldest: Option<Millis>,
}

impl Queue {
    /// Takes up to `limit` deliveries that are due, the longest due first. One that waits for an
    /// earlier one of the same connection is not due.
    pub(super) async fn claim(&self, limit: u64) -> Result<Vec<webhook_delivery::Model>, DbErr> {
        let now = database::clock(&self.database);
        let due = webhook_delivery::Entity::find()
            .select_only()
            .column(webhook_delivery::Column::Position)
            .filter(webhook_delivery::Column::SettledAt.is_null())
            .filter(Expr::col(webhook_delivery::Column::DueAt).lte(now.clone()))
            .filter(Expr::exists(earlier_of_the_connection()).not())
            .order_by_asc(webhook_delivery::Column::DueAt)
            .order_by_asc(webhook_delivery::Column::Position)
            .limit(limit)
            // Two replicas that look at once take different ones.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_query();
        webhook_delivery::Entity::update_many()
            .col_expr(webhook_delivery::Column::DueAt, now.add(millis(self.lease)))
            .col_expr(
                webhook_delivery::Column::Attempts,
                Expr::col(webhook_delivery::Column::Attempts).add(1),
            )
            .filter(webhook_delivery::Column::Position.in_subquery(due))
            .exec_with_returning(&self.database)
            .await
    }

    /// Writes down how the delivery ended, unless it has ended already.
    pub(super) async fn settle(&self, position: i64, outcome: Outcome) -> Result<(), DbErr> {
        webhook_delivery::Entity::update_many()
            .col_expr(webhook_delivery::Column::Outcome, Expr::value(outcome))
            .col_expr(
                webhook_delivery::Column::SettledAt,
                database::clock(&self.database),
            )
            .filter(webhook_delivery::Column::Position.eq(position))
            .filter(webhook_delivery::Column::SettledAt.is_null())
            .exec(&self.database)
            .await?;
        Ok(())
    }

    /// Has the delivery tried again after `pause`, unless somebody else has taken it up since.
    pub(super) async fn postpone(
        &self,
        delivery: &webhook_delivery::Model,
        pause: Duration,
    ) -> Result<(), DbErr> {
        let due_at = database::clock(&self.database).add(millis(pause));
        webhook_delivery::Entity::update_many()
            .col_expr(webhook_delivery::Column::DueAt, due_at)
            .filter(webhook_delivery::Column::Position.eq(delivery.position))
            .filter(webhook_delivery::Column::Attempts.eq(delivery.attempts))
            .filter(webhook_delivery::Column::SettledAt.is_null())
            .exec(&self.database)
            .await?;
        Ok(())
    }

    /// How much is still to be delivered.
    pub(super) async fn backlog(&self) -> Result<Backlog, DbErr> {
        let backlog = webhook_delivery::Entity::find()
            .select_only()
            .column_as(webhook_delivery::Column::Position.count(), "waiting")
            .column_as(webhook_delivery::Column::OccurredAt.min(), "oldest")
            .filter(webhook_delivery::Column::SettledAt.is_null())
            .into_model()
            .one(&self.database)
            .await?;
        Ok(backlog.unwrap_or_default())
    }

    /// Deletes deliveries that ended longer than `kept` ago.
    pub(super) async fn prune(&self, kept: Duration) -> Result<(), DbErr> {
        loop {
            let before = database::clock(&self.database).sub(millis(kept));
            let old = webhook_delivery::Entity::find()
                .select_only()
                .column(webhook_delivery::Column::Position)
                .filter(Expr::col(webhook_delivery::Column::SettledAt).lt(before))
                .limit(PRUNE_AT_ONCE)
                .into_query();
            let pruned = webhook_delivery::Entity::delete_many()
                .filter(webhook_delivery::Column::Position.in_subquery(old))
                .exec(&self.database)
                .await?;
            if pruned.rows_affected < PRUNE_AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// Deliveries of the same connection that come before the one at hand and have not ended.
fn earlier_of_the_connection() -> SelectStatement {
    let earlier = |column| Expr::col((Alias::new("earlier"), column));
    let this = |column| Expr::col((webhook_delivery::Entity, column));
    Query::select()
        .expr(Expr::value(1))
        .from_as(webhook_delivery::Entity, Alias::new("earlier"))
        .and_where(
            earlier(webhook_delivery::Column::ConnectionId)
                .eq(this(webhook_delivery::Column::ConnectionId)),
        )
        .and_where(
            earlier(webhook_delivery::Column::Position)
                .lt(this(webhook_delivery::Column::Position)),
        )
        .and_where(earlier(webhook_delivery::Column::SettledAt).is_null())
        .take()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
