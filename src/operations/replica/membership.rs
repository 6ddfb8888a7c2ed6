//! The membership of this replica. Each replica keeps one row alive; an operation whose owner
//! has stopped doing so is taken over, under a new epoch, and whatever its old owner still writes
//! changes nothing.

use std::time::Duration;

use entity::{operation, replica};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait, QueryFilter,
    sea_query::{Condition, Expr, OnConflict, Query},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

use super::take_over::{self, millis, readable, release, release_lost};
use crate::{
    operations::{
        drive::{Command, Lease},
        follow::LocalBus,
        model::FIRST_EPOCH,
        store::Store,
    },
    platform::database::{self, Workspace, WorkspaceError},
};

/// The pause between two looks for orphaned operations.
const TAKE_OVER_EVERY: Duration = Duration::from_secs(1);
/// Rows of replicas that died this many leases ago are removed.
const FORGET_AFTER_LEASES: u32 = 60;

/// The reason why a replica cannot take part, or not now.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The database belongs to another workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// Keeps this replica's row alive and takes over what others left behind.
#[derive(Clone, Debug)]
pub(in crate::operations) struct Replica {
    pub(in crate::operations) store: Store,
    pub(in crate::operations) lease: Lease,
    pub(in crate::operations) bus: LocalBus,
    pub(in crate::operations) supervisor: mpsc::Sender<Command>,
    /// The workspace that the database must belong to.
    pub(in crate::operations) workspace: Workspace,
}

impl Replica {
    /// Gives the first sign of life and takes over the first of what can be taken over.
    pub(in crate::operations) async fn join(&self) -> Result<(), ReplicaError> {
        if self.store.database.get_database_backend() == DbBackend::Sqlite {
            // The file is this process's own, so whoever had it before is dead.
            replica::Entity::delete_many()
                .exec(&self.store.database)
                .await?;
        }
        self.renew().await?;
        self.take_over().await?;
        Ok(())
    }

    /// Works until `shutdown`.
    ///
    /// # Errors
    /// [`WorkspaceError`]: the database belongs to another workspace by now.
    pub(in crate::operations) async fn run(
        self,
        shutdown: CancellationToken,
    ) -> Result<(), WorkspaceError> {
        let mut renewals = interval(self.lease.duration() / 4);
        let mut looks = interval(TAKE_OVER_EVERY.min(self.lease.duration() / 4));
        let mut counts = interval(self.lease.duration());
        renewals.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Signs of life come first, or looks that find much would make this replica seem dead.
            let done = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                _ = renewals.tick() => self.renew_or_start_over().await,
                _ = counts.tick() => release_lost(&self.store, self.lease.duration(), &self.bus).await.map_err(ReplicaError::from),
                _ = looks.tick(), if self.lease.is_held() => match self.take_over().await {
                    Ok(true) => {
                        looks.reset_immediately();
                        Ok(())
                    }
                    taken => taken.map(|_| ()),
                },
            };
            match done {
                Ok(()) => {}
                Err(ReplicaError::Workspace(error @ WorkspaceError::Other { .. })) => {
                    self.lease.give_up();
                    self.tell(Command::LeaseExpired).await;
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%error, "this replica could not tell that it is alive");
                }
            }
        }
    }

    /// Hands everything over: others need not wait for the lease to run out.
    pub(in crate::operations) async fn leave(&self) -> Result<(), DbErr> {
        let released = release(&self.store, Condition::all()).await?;
        replica::Entity::delete_by_id(self.store.replica)
            .exec(&self.store.database)
            .await?;
        if released > 0 {
            tracing::info!(operations = released, "handed over operations in flight");
        }
        Ok(())
    }

    async fn renew_or_start_over(&self) -> Result<(), ReplicaError> {
        if self.lease.has_expired() {
            // Stopped or cut off for longer than the lease: others drive what was driven here.
            self.store.metrics.lease_expired();
            tracing::warn!("this replica's lease ran out; it starts over");
            self.tell(Command::LeaseExpired).await;
            // As `Operation::is_starting_here`.
            let is_starting = operation::Column::Status
                .eq(operation::Status::Starting)
                .and(operation::Column::Epoch.eq(FIRST_EPOCH));
            release(&self.store, is_starting.not()).await?;
        }
        self.renew().await
    }

    async fn renew(&self) -> Result<(), ReplicaError> {
        let mut asked = Instant::now();
        while !self.give_sign().await? {
            database::claim_for(&self.store.database, &self.workspace).await?;
            asked = Instant::now();
        }
        self.lease.renew(asked);
        let now = database::clock(&self.store.database);
        let forgotten = now.sub(millis(self.lease.duration()) * i64::from(FORGET_AFTER_LEASES));
        replica::Entity::delete_many()
            .filter(Expr::col(replica::Column::BeatAt).lt(forgotten))
            .exec(&self.store.database)
            .await?;
        Ok(())
    }

    /// Gives a sign of life, if the database still belongs to the workspace. Answers whether it did.
    async fn give_sign(&self) -> Result<bool, DbErr> {
        let now = database::clock(&self.store.database);
        let mut row = database::marked_for(&self.workspace);
        row.expr(Expr::value(self.store.replica)).expr(now.clone());
        let mut sign = Query::insert()
            .into_table(replica::Entity)
            .columns([replica::Column::Id, replica::Column::BeatAt])
            .to_owned();
        sign.select_from(row)
            .map_err(|error| DbErr::Custom(error.to_string()))?;
        let again = OnConflict::column(replica::Column::Id)
            .value(replica::Column::BeatAt, now)
            .to_owned();
        sign.on_conflict(again);
        let given = self.store.database.execute(&sign).await?;
        Ok(given.rows_affected() > 0)
    }

    /// Takes over operations whose owner has left or died. Answers whether there may be more.
    async fn take_over(&self) -> Result<bool, ReplicaError> {
        let taken = take_over::take_over(&self.store, self.lease.duration()).await?;
        let count = taken.len();
        if count > 0 {
            self.store.metrics.taken_over(count);
            tracing::info!(operations = count, "took over operations in flight");
        }
        for row in taken {
            if let Some(operation) = readable(&row) {
                self.tell(Command::Recover(Box::new(operation))).await;
            }
        }
        Ok(count >= usize::try_from(take_over::AT_ONCE).unwrap_or(usize::MAX))
    }

    async fn tell(&self, command: Command) {
        // Without a supervisor the process is shutting down, and hands over.
        self.supervisor.send(command).await.ok();
    }
}
