//! Connections to Postgres that serve one statement after the other. The pool makes sure of a
//! connection each time that it comes back, which is a round trip beside that of the statement. From
//! here a connection comes back once a second.

use std::{
    fmt, iter, mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use sea_orm::{
    ConnAcquireErr, DbErr, ExecResult, QueryResult, Statement, Values,
    metric::Info,
    sqlx::{self, AssertSqlSafe, PgPool, Postgres, pool::PoolConnection, query::Query},
};
use sea_query_sqlx::SqlxValues;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout},
};

use super::{
    ACQUIRE_TIMEOUT,
    errors::{acquire_error, is_connection_lost, statement_error},
};

/// After so long a connection goes back to the pool, to be made sure of. The pool, too, hands out without
/// a trial what came back less long ago.
const KEPT_FOR: Duration = super::IDLE_BEFORE_PING;

/// Told of each statement.
pub(super) type Measure = dyn Fn(&Info<'_>) + Send + Sync;

/// Statements run side by side on so many connections at most; the others of the pool are left to
/// transactions.
pub(super) struct Lanes {
    pool: PgPool,
    free: Semaphore,
    waiting: Mutex<Waiting>,
    measure: OnceLock<Arc<Measure>>,
}

/// Connections that wait for a statement.
#[derive(Default)]
struct Waiting {
    kept: Vec<Kept>,
    /// Whether [`give_back`] is at work.
    is_watched: bool,
}

struct Kept {
    connection: PoolConnection<Postgres>,
    since: Instant,
}

/// The right to run one statement, on this connection.
struct Lane<'a> {
    lanes: &'a Arc<Lanes>,
    kept: Kept,
    begun: Instant,
    _permit: Option<SemaphorePermit<'a>>,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").finish_non_exhaustive()
    }
}

impl Lanes {
    /// Over half of the pool; none for one that has a single connection.
    pub(super) fn of(pool: &PgPool) -> Option<Arc<Self>> {
        let connections = pool.options().get_max_connections();
        let lanes = connections.div_ceil(2);
        (lanes < connections).then(|| {
            Arc::new(Self {
                pool: pool.clone(),
                free: Semaphore::new(lanes as usize),
                waiting: Mutex::default(),
                measure: OnceLock::new(),
            })
        })
    }

    pub(super) fn measure(&self, measure: Arc<Measure>) {
        self.measure.set(measure).ok();
    }

    /// Connections that wait here for the next statement.
    pub(super) fn idle(&self) -> usize {
        self.waiting().kept.len()
    }

    /// Gives all that wait here back.
    pub(super) fn clear(&self) {
        drop(mem::take(&mut self.waiting().kept));
    }

    /// Waits for the right to run a statement.
    pub(super) async fn probe(self: &Arc<Self>) -> Result<(), DbErr> {
        self.lane().await.map(Lane::keep)
    }

    pub(super) async fn execute(
        self: &Arc<Self>,
        mut statement: Statement,
    ) -> Result<ExecResult, DbErr> {
        let mut lane = self.lane().await?;
        let query = query(&mut statement);
        let done = query.execute(&mut *lane.kept.connection).await;
        let done = lane.end(&statement, done);
        done.map(Into::into).map_err(statement_error)
    }

    pub(super) async fn query_one(
        self: &Arc<Self>,
        mut statement: Statement,
    ) -> Result<Option<QueryResult>, DbErr> {
        let mut lane = self.lane().await?;
        let query = query(&mut statement);
        let row = query.fetch_optional(&mut *lane.kept.connection).await;
        let row = lane.end(&statement, row).map_err(statement_error)?;
        Ok(row.map(Into::into))
    }

    pub(super) async fn query_all(
        self: &Arc<Self>,
        mut statement: Statement,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let mut lane = self.lane().await?;
        let query = query(&mut statement);
        let rows = query.fetch_all(&mut *lane.kept.connection).await;
        let rows = lane.end(&statement, rows).map_err(statement_error)?;
        Ok(rows.into_iter().map(Into::into).collect())
    }

    async fn lane(self: &Arc<Self>) -> Result<Lane<'_>, DbErr> {
        let lane = async {
            let permit = self.free.acquire().await.ok();
            let kept = match self.fresh() {
                Some(kept) => kept,
                None => Kept {
                    connection: self.pool.acquire().await.map_err(acquire_error)?,
                    since: Instant::now(),
                },
            };
            Ok(Lane {
                lanes: self,
                kept,
                begun: Instant::now(),
                _permit: permit,
            })
        };
        let timed_out = DbErr::ConnectionAcquire(ConnAcquireErr::Timeout);
        timeout(ACQUIRE_TIMEOUT, lane)
            .await
            .unwrap_or(Err(timed_out))
    }

    fn fresh(&self) -> Option<Kept> {
        let mut waiting = self.waiting();
        // The others have been kept for long enough.
        iter::from_fn(|| waiting.kept.pop()).find(Kept::is_fresh)
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane<'_> {
    /// When a statement fails, and when nobody waits for it any more, its connection goes back to the pool.
    fn end<T>(self, statement: &Statement, done: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if let Some(measure) = self.lanes.measure.get() {
            measure(&Info {
                elapsed: self.begun.elapsed(),
                statement,
                failed: done.is_err(),
            });
        }
        match &done {
            Ok(_) => self.keep(),
            // And with the server what else is kept.
            Err(error) if is_connection_lost(error) => self.lanes.clear(),
            Err(_) => {}
        }
        done
    }

    /// Keeps the connection for the next statement.
    fn keep(self) {
        let mut waiting = self.lanes.waiting();
        if !self.kept.is_fresh() || self.lanes.pool.is_closed() {
            return;
        }
        waiting.kept.push(self.kept);
        if !mem::replace(&mut waiting.is_watched, true) {
            tokio::spawn(give_back(Arc::clone(self.lanes)));
        }
    }
}

/// The statement, without its values from now on.
fn query(statement: &mut Statement) -> Query<'static, Postgres, SqlxValues> {
    let values = statement.values.take().unwrap_or(Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql.clone()), SqlxValues(values))
}

impl Kept {
    fn is_fresh(&self) -> bool {
        self.since.elapsed() < KEPT_FOR
    }
}

/// What is kept for too long, until none is.
async fn give_back(lanes: Arc<Lanes>) {
    loop {
        sleep(KEPT_FOR).await;
        let mut waiting = lanes.waiting();
        waiting.kept.retain(Kept::is_fresh);
        if waiting.kept.is_empty() {
            waiting.is_watched = false;
            return;
        }
    }
}
