//! Which operations this replica drives. Each replica keeps one row alive; an operation whose owner
//! has stopped doing so is taken over, under a new epoch, and whatever its old owner still writes
//! changes nothing.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use entity::{operation, replica};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, DbErr, EntityTrait, ExprTrait, FromQueryResult,
    QueryFilter, QueryResult, QuerySelect, QueryTrait,
    sea_query::{Condition, Expr, IntoCondition, LockBehavior, LockType, OnConflict, Query},
};
use tokio::{
    sync::mpsc,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    bus::Bus,
    model::{FIRST_EPOCH, Operation},
    poller::Command,
    store::{Store, StoreError},
};
use crate::platform::database::{self, Workspace, WorkspaceError};

/// How often orphaned operations are looked for.
const ADOPT_EVERY: Duration = Duration::from_secs(1);
/// How many of them one look takes over, so that several replicas share them.
const ADOPT_AT_ONCE: u64 = 1000;
/// Rows of replicas that died this many leases ago are removed.
const FORGET_AFTER_LEASES: u32 = 60;

/// Why a replica cannot take part, or not now.
#[derive(Debug, thiserror::Error)]
pub enum ReplicaError {
    /// The database belongs to another workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// This replica's right to drive operations: it holds for `lease` after each sign of life that the
/// database took.
#[derive(Clone, Debug)]
pub(super) struct Heart {
    lease: Duration,
    last_beat: Arc<Mutex<Option<Instant>>>,
    /// Somebody was told that it does not beat, and has let go of what was driven here.
    lapsed: Arc<AtomicBool>,
}

impl Heart {
    pub(super) fn new(lease: Duration) -> Self {
        Self {
            lease,
            last_beat: Arc::default(),
            lapsed: Arc::default(),
        }
    }

    /// Whether no other replica can have taken over yet.
    pub(super) fn beats(&self) -> bool {
        self.beats_until().is_some()
    }

    /// Until when no other replica can have taken over; none when one may have already.
    pub(super) fn beats_until(&self) -> Option<Instant> {
        let last_beat = *self.lock();
        let until = last_beat.map(|beat| beat + self.lease);
        let until = until.filter(|until| *until > Instant::now());
        if until.is_none() {
            self.lapsed.store(true, Ordering::Relaxed);
        }
        until
    }

    /// Gives the right up, before its time.
    fn stop(&self) {
        *self.lock() = None;
    }

    /// For how long a sign of life holds.
    pub(super) fn lease(&self) -> Duration {
        self.lease
    }

    /// How long ago the last sign of life was given; none before the first.
    pub(super) fn age(&self) -> Option<Duration> {
        self.lock().map(|beat| beat.elapsed())
    }

    /// Whether it has ever been found not to beat since it was last asked this.
    fn has_lapsed(&self) -> bool {
        let beats = self.beats();
        self.lapsed.swap(false, Ordering::Relaxed) || !beats
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.last_beat
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps this replica's row alive and takes over what others left behind.
#[derive(Clone, Debug)]
pub(super) struct Replica {
    pub(super) store: Store,
    pub(super) heart: Heart,
    pub(super) bus: Bus,
    pub(super) poller: mpsc::Sender<Command>,
    /// Which workspace the database must belong to.
    pub(super) workspace: Workspace,
}

impl Replica {
    /// Gives the first sign of life and takes over the first of what can be taken over.
    pub(super) async fn join(&self) -> Result<(), ReplicaError> {
        if self.store.database.get_database_backend() == DbBackend::Sqlite {
            // The file is this process's own, so whoever had it before is dead.
            replica::Entity::delete_many()
                .exec(&self.store.database)
                .await?;
        }
        self.beat().await?;
        self.adopt().await?;
        Ok(())
    }

    /// Works until `shutdown`.
    ///
    /// # Errors
    /// That the database belongs to another workspace by now.
    pub(super) async fn run(self, shutdown: CancellationToken) -> Result<(), WorkspaceError> {
        let mut beats = interval(self.heart.lease / 4);
        let mut looks = interval(ADOPT_EVERY.min(self.heart.lease / 4));
        let mut counts = interval(self.heart.lease);
        beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        counts.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            // Signs of life come first, or looks that find much would make this replica seem dead.
            let done = tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                _ = beats.tick() => self.beat_or_lapse().await,
                _ = counts.tick() => self.release_lost().await.map_err(ReplicaError::from),
                _ = looks.tick(), if self.heart.beats() => match self.adopt().await {
                    Ok(true) => {
                        looks.reset_immediately();
                        Ok(())
                    }
                    adopted => adopted.map(|_| ()),
                },
            };
            match done {
                Ok(()) => {}
                Err(ReplicaError::Workspace(error @ WorkspaceError::Other { .. })) => {
                    self.heart.stop();
                    self.tell(Command::Lapsed).await;
                    return Err(error);
                }
                Err(error) => {
                    tracing::warn!(%error, "this replica could not tell that it is alive");
                }
            }
        }
    }

    /// Hands everything over: others need not wait for the lease to run out.
    pub(super) async fn leave(&self) -> Result<(), DbErr> {
        let released = self.release(Condition::all()).await?;
        replica::Entity::delete_by_id(self.store.replica)
            .exec(&self.store.database)
            .await?;
        if released > 0 {
            tracing::info!(operations = released, "handed over operations in flight");
        }
        Ok(())
    }

    async fn beat_or_lapse(&self) -> Result<(), ReplicaError> {
        if self.heart.has_lapsed() {
            // Stopped or cut off for longer than the lease: others drive what was driven here.
            self.store.metrics.lapsed();
            tracing::warn!("this replica's lease ran out; it starts over");
            self.tell(Command::Lapsed).await;
            // As `Operation::is_starting_here`.
            let is_starting = operation::Column::Status
                .eq(operation::Status::Starting)
                .and(operation::Column::Epoch.eq(FIRST_EPOCH));
            self.release(is_starting.not()).await?;
        }
        self.beat().await
    }

    async fn beat(&self) -> Result<(), ReplicaError> {
        let mut asked = Instant::now();
        while !self.give_sign().await? {
            database::claim_for(&self.store.database, &self.workspace).await?;
            asked = Instant::now();
        }
        *self.heart.lock() = Some(asked);
        let now = database::clock(&self.store.database);
        let forgotten = now.sub(self.lease_millis() * i64::from(FORGET_AFTER_LEASES));
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
    async fn adopt(&self) -> Result<bool, ReplicaError> {
        let adopted = self.adopt_some().await?;
        let count = adopted.len();
        if count > 0 {
            self.store.metrics.adopted(count);
            tracing::info!(operations = count, "took over operations in flight");
        }
        for row in adopted {
            if let Some(operation) = readable(&row) {
                self.tell(Command::Recover(Box::new(operation))).await;
            }
        }
        Ok(count >= usize::try_from(ADOPT_AT_ONCE).unwrap_or(usize::MAX))
    }

    async fn adopt_some(&self) -> Result<Vec<QueryResult>, DbErr> {
        let dead_before = database::clock(&self.store.database).sub(self.lease_millis());
        let alive = replica::Entity::find()
            .select_only()
            .column(replica::Column::Id)
            .filter(Expr::col(replica::Column::BeatAt).gte(dead_before))
            .into_query();
        // This replica is alive, whatever its row seems to be when the database's clock jumps.
        let orphaned = operation::Column::Owner
            .ne(self.store.replica)
            .and(operation::Column::Owner.not_in_subquery(alive));
        let orphans = operation::Entity::find()
            .select_only()
            .column(operation::Column::Id)
            .filter(operation::Column::EndedAt.is_null())
            .filter(operation::Column::Owner.is_null().or(orphaned))
            .limit(ADOPT_AT_ONCE)
            // Two replicas that look at once take different ones.
            .lock_with_behavior(LockType::Update, LockBehavior::SkipLocked)
            .into_query();
        let mut adopt = operation::Entity::update_many()
            .col_expr(operation::Column::Owner, Expr::value(self.store.replica))
            .col_expr(
                operation::Column::Epoch,
                Expr::col(operation::Column::Epoch).add(1),
            )
            .filter(operation::Column::Id.in_subquery(orphans))
            .into_query();
        adopt.returning_all();
        self.store.database.query_all(&adopt).await
    }

    /// Gives up operations that are this replica's by the table although it does not drive them: the
    /// answer to taking them over was lost, say.
    async fn release_lost(&self) -> Result<(), DbErr> {
        let settled = database::clock(&self.store.database).sub(self.lease_millis());
        let own: Vec<Uuid> = operation::Entity::find()
            .select_only()
            .column(operation::Column::Id)
            .filter(operation::Column::Owner.eq(self.store.replica))
            .filter(operation::Column::EndedAt.is_null())
            .filter(Expr::col(operation::Column::CreatedAt).lt(settled))
            .into_tuple()
            .all(&self.store.database)
            .await?;
        let lost = own.into_iter().filter(|id| !self.bus.is_driven_here(*id));
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
            .filter(operation::Column::Owner.eq(self.store.replica))
            .exec(&self.store.database)
            .await?;
        Ok(())
    }

    /// Gives up what of `which` is still this replica's own, so that it is taken over anew, by whomever.
    async fn release(&self, which: impl IntoCondition) -> Result<u64, DbErr> {
        let released = operation::Entity::update_many()
            .col_expr(operation::Column::Owner, Expr::value(Option::<Uuid>::None))
            .filter(operation::Column::Owner.eq(self.store.replica))
            .filter(operation::Column::EndedAt.is_null())
            .filter(which)
            .exec(&self.store.database)
            .await?;
        Ok(released.rows_affected)
    }

    fn lease_millis(&self) -> i64 {
        i64::try_from(self.heart.lease.as_millis()).unwrap_or(i64::MAX)
    }

    async fn tell(&self, command: Command) {
        // Without a poller the process is shutting down, and hands over.
        self.poller.send(command).await.ok();
    }
}

/// One row that makes no sense must not keep the others from being taken up.
fn readable(row: &QueryResult) -> Option<Operation> {
    let read = operation::Model::from_query_result(row, "").map_err(StoreError::from);
    let operation = read.and_then(|row| Ok(Operation::try_from(row)?));
    operation
        .inspect_err(|error| {
            let id: Option<Uuid> = row.try_get("", "id").ok();
            tracing::error!(operation.id = ?id, %error, "an operation cannot be driven");
        })
        .ok()
}
