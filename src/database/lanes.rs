//! Connections to Postgres that serve one statement after the other. The pool makes sure of a
//! connection each time that it comes back, which is a round trip beside that of the statement. Here a
//! connection comes back once a second.

use std::{
    fmt, mem,
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
    errors::{acquire_error, statement_error},
};

/// After which a connection goes back to the pool, to be made sure of. As long as the pool itself hands
/// one out untried.
const KEPT_FOR: Duration = super::IDLE_BEFORE_PING;

/// Told of each statement.
pub(super) type Measure = dyn Fn(&Info<'_>) + Send + Sync;

/// Statements run side by side on so many connections at most; the others of the pool are left to
/// transactions.
pub(super) struct Lanes {
    pool: PgPool,
    free: Semaphore,
    kept: Mutex<Vec<Kept>>,
    measure: OnceLock<Arc<Measure>>,
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
    _permit: SemaphorePermit<'a>,
}

impl fmt::Debug for Lanes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").finish_non_exhaustive()
    }
}

impl Lanes {
    /// None for a pool so small that a transaction could find none left.
    pub(super) fn of(pool: &PgPool) -> Option<Arc<Self>> {
        let lanes = pool.options().get_max_connections() / 2;
        (lanes > 0).then(|| {
            Arc::new(Self {
                pool: pool.clone(),
                free: Semaphore::new(lanes as usize),
                kept: Mutex::default(),
                measure: OnceLock::new(),
            })
        })
    }

    pub(super) fn measure(&self, measure: Arc<Measure>) {
        self.measure.set(measure).ok();
    }

    /// Connections that wait here for the next statement.
    pub(super) fn idle(&self) -> usize {
        self.kept().len()
    }

    /// Gives all that wait here back.
    pub(super) fn clear(&self) {
        drop(mem::take(&mut *self.kept()));
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
        let timed_out = DbErr::ConnectionAcquire(ConnAcquireErr::Timeout);
        let Ok(Ok(permit)) = timeout(ACQUIRE_TIMEOUT, self.free.acquire()).await else {
            return Err(timed_out);
        };
        let waiting = self.kept().pop();
        let kept = match waiting.filter(Kept::is_fresh) {
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
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
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
            Err(sqlx::Error::Database(_)) => {}
            // The server may have gone, and with it what is kept.
            Err(_) => self.lanes.clear(),
        }
        done
    }

    /// Keeps the connection for the next statement.
    fn keep(self) {
        if !self.kept.is_fresh() || self.lanes.pool.is_closed() {
            return;
        }
        let mut kept = self.lanes.kept();
        let is_first = kept.is_empty();
        kept.push(self.kept);
        drop(kept);
        if is_first {
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
        let mut kept = lanes.kept();
        kept.retain(Kept::is_fresh);
        if kept.is_empty() {
            return;
        }
    }
}
