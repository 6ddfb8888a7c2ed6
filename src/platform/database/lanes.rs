//! Connections that serve one statement after the other. The pool makes sure of a connection each time
//! that it comes back, which is a round trip beside that of the statement. From here a connection comes
//! back once a second, or when a transaction needs it and there is no other.

use std::{
    fmt, iter, mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use sea_orm::{
    ConnAcquireErr, DbErr, ExecResult, QueryResult, Statement, Values,
    metric::Info,
    sqlx::{
        self, AssertSqlSafe, Connection, Executor, IntoArguments, Pool, Sqlite,
        pool::PoolConnection, query::Query,
    },
};
use sea_query_sqlx::SqlxValues;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout},
};

use super::{
    ACQUIRE_TIMEOUT, PoolSize,
    errors::{acquire_error, is_connection_lost, is_unanswered, statement_error},
    renewal::Renewal,
    server::Server,
    transaction::unanswered,
};

/// After so long a connection goes back to the pool, to be made sure of. The pool, too, hands out without
/// a trial what came back less long ago.
const KEPT_FOR: Duration = super::IDLE_BEFORE_PING;

/// With the right to write from the start: one that asks for it later fails if others have written.
const BEGIN: &str = "BEGIN IMMEDIATE";

/// Told of each statement.
pub(super) type Measure = dyn Fn(&Info<'_>) + Send + Sync;

/// Statements run side by side on so many connections at most; the others of the pool are left to
/// transactions.
pub(super) struct Lanes<DB: sqlx::Database> {
    pool: Pool<DB>,
    /// Whether there is one connection, for statements and transactions alike.
    is_only: bool,
    free: Semaphore,
    waiting: Mutex<Waiting<DB>>,
    server: Server,
    /// After which a statement is given up with its connection.
    answer_within: Duration,
    measure: OnceLock<Arc<Measure>>,
}

/// Connections that wait for a statement.
struct Waiting<DB: sqlx::Database> {
    kept: Vec<Kept<DB>>,
    /// Whether [`give_back`] is at work.
    is_watched: bool,
}

struct Kept<DB: sqlx::Database> {
    connection: PoolConnection<DB>,
    since: Instant,
}

/// The right to run one statement, on this connection.
struct Lane<'a, DB: sqlx::Database> {
    lanes: &'a Arc<Lanes<DB>>,
    kept: Kept<DB>,
    begun: Instant,
    _permit: Option<SemaphorePermit<'a>>,
}

impl<DB: sqlx::Database> fmt::Debug for Lanes<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lanes").finish_non_exhaustive()
    }
}

impl<DB: sqlx::Database> Lanes<DB> {
    /// Over half of the pool.
    pub(super) fn of(pool: &Pool<DB>, server: Server, answer_within: Duration) -> Arc<Self> {
        let connections = pool.options().get_max_connections();
        let lanes = connections.div_ceil(2);
        Arc::new(Self {
            pool: pool.clone(),
            is_only: connections == 1,
            free: Semaphore::new(lanes as usize),
            waiting: Mutex::new(Waiting {
                kept: Vec::new(),
                is_watched: false,
            }),
            server,
            answer_within,
            measure: OnceLock::new(),
        })
    }

    /// Waits for the turn of a transaction among the statements, if there is one connection for both, which
    /// is not kept from the pool for as long as what is returned lives.
    pub(super) async fn turn(&self) -> Result<Option<SemaphorePermit<'_>>, DbErr> {
        if !self.is_only {
            return Ok(None);
        }
        let turn = timeout(ACQUIRE_TIMEOUT, self.free.acquire()).await;
        let turn = turn.map_err(|_| timed_out())?;
        self.clear();
        Ok(turn.ok())
    }

    pub(super) fn measure(&self, measure: Arc<Measure>) {
        self.measure.set(measure).ok();
    }

    /// Gives all that wait here back.
    pub(super) fn clear(&self) {
        drop(mem::take(&mut self.waiting().kept));
    }

    /// Waits for the right to run a statement, and for what a transaction needs.
    pub(super) async fn probe(self: &Arc<Self>) -> Result<(), DbErr> {
        let turn = self.turn().await?;
        if turn.is_none() {
            self.lane("").await.map(Lane::keep)?;
        }
        self.pool.acquire().await.map(drop).map_err(acquire_error)
    }

    pub(super) fn size(&self) -> PoolSize {
        let idle = self.pool.num_idle() + self.waiting().kept.len();
        PoolSize {
            open: self.pool.size(),
            idle: u32::try_from(idle).unwrap_or(u32::MAX),
            max: self.pool.options().get_max_connections(),
        }
    }

    /// Waits for the right to run a statement.
    async fn lane(self: &Arc<Self>, sql: &str) -> Result<Lane<'_, DB>, DbErr> {
        self.server.admit(sql)?;
        let lane = async {
            let permit = self.free.acquire().await.ok();
            // More may be known since.
            self.server.admit(sql)?;
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
        timeout(ACQUIRE_TIMEOUT, lane)
            .await
            .unwrap_or_else(|_| Err(timed_out()))
    }

    fn fresh(&self) -> Option<Kept<DB>> {
        let mut waiting = self.waiting();
        // The others have been kept for long enough.
        iter::from_fn(|| waiting.kept.pop()).find(|kept| kept.is_fresh(&self.server.renewal))
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting<DB>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<DB> Lanes<DB>
where
    DB: sqlx::Database,
    DB::Row: Into<QueryResult>,
    DB::QueryResult: Into<ExecResult>,
    SqlxValues: IntoArguments<DB>,
    for<'c> &'c mut DB::Connection: Executor<'c, Database = DB>,
{
    pub(super) async fn execute(
        self: &Arc<Self>,
        mut statement: Statement,
    ) -> Result<ExecResult, DbErr> {
        let mut lane = self.lane(&statement.sql).await?;
        let query = query(&mut statement);
        let done = query.execute(&mut *lane.kept.connection);
        let done = answer(self.answer_within, done).await;
        let done = lane.end(&statement, done);
        done.map(Into::into).map_err(statement_error)
    }

    pub(super) async fn query_one(
        self: &Arc<Self>,
        mut statement: Statement,
    ) -> Result<Option<QueryResult>, DbErr> {
        let mut lane = self.lane(&statement.sql).await?;
        let query = query(&mut statement);
        let row = query.fetch_optional(&mut *lane.kept.connection);
        let row = answer(self.answer_within, row).await;
        let row = lane.end(&statement, row).map_err(statement_error)?;
        Ok(row.map(Into::into))
    }

    pub(super) async fn query_all(
        self: &Arc<Self>,
        mut statement: Statement,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let mut lane = self.lane(&statement.sql).await?;
        let query = query(&mut statement);
        let rows = query.fetch_all(&mut *lane.kept.connection);
        let rows = answer(self.answer_within, rows).await;
        let rows = lane.end(&statement, rows).map_err(statement_error)?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

impl Lanes<Sqlite> {
    /// As [`Lanes::query_all`], in a transaction.
    pub(super) async fn transact(
        self: &Arc<Self>,
        mut statement: Statement,
    ) -> Result<Vec<QueryResult>, DbErr> {
        let mut lane = self.lane(&statement.sql).await?;
        let query = query(&mut statement);
        let rows = async {
            let mut transaction = lane.kept.connection.begin_with(BEGIN).await?;
            let rows = query.fetch_all(&mut *transaction).await?;
            transaction.commit().await?;
            Ok(rows)
        };
        let rows = rows.await;
        let rows = lane.end(&statement, rows).map_err(statement_error)?;
        Ok(rows.into_iter().map(Into::into).collect())
    }
}

impl<DB: sqlx::Database> Lane<'_, DB> {
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
            Err(error) => self.fail(&statement.sql, error),
        }
        done
    }

    fn fail(self, sql: &str, error: &sqlx::Error) {
        let are_outdated = self.lanes.server.heed_error(sql, error);
        if are_outdated || is_connection_lost(error) {
            // And with the server what else is kept.
            self.lanes.clear();
        }
        if is_unanswered(error) {
            // The pool would wait for the answer.
            drop(self.kept.connection.detach());
        }
    }

    /// Keeps the connection for the next statement.
    fn keep(self) {
        let mut waiting = self.lanes.waiting();
        if !self.kept.is_fresh(&self.lanes.server.renewal) || self.lanes.pool.is_closed() {
            return;
        }
        waiting.kept.push(self.kept);
        if !mem::replace(&mut waiting.is_watched, true) {
            tokio::spawn(give_back(Arc::clone(self.lanes)));
        }
    }
}

/// What becomes of a statement in time.
async fn answer<T>(
    within: Duration,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let answered = timeout(within, statement).await;
    answered.unwrap_or_else(|_| Err(unanswered()))
}

fn timed_out() -> DbErr {
    DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
}

/// The statement, without its values from now on.
fn query<DB>(statement: &mut Statement) -> Query<'static, DB, SqlxValues>
where
    DB: sqlx::Database,
    SqlxValues: IntoArguments<DB>,
{
    let values = statement.values.take().unwrap_or(Values(Vec::new()));
    sqlx::query_with(AssertSqlSafe(statement.sql.clone()), SqlxValues(values))
}

impl<DB: sqlx::Database> Kept<DB> {
    fn is_fresh(&self, renewal: &Renewal) -> bool {
        let kept_for = self.since.elapsed();
        kept_for < KEPT_FOR && !renewal.is_outdated(kept_for)
    }
}

/// What is kept for too long, until none is.
async fn give_back<DB: sqlx::Database>(lanes: Arc<Lanes<DB>>) {
    loop {
        sleep(KEPT_FOR).await;
        let mut waiting = lanes.waiting();
        waiting
            .kept
            .retain(|kept| kept.is_fresh(&lanes.server.renewal));
        if waiting.kept.is_empty() {
            waiting.is_watched = false;
            return;
        }
    }
}
