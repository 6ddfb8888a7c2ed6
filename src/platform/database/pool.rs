//! The pool of connections, and how statements that are no part of a transaction use it.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult,
    QueryResult, Statement, TransactionOptions, TransactionTrait,
    metric::Info,
    sqlx::{Postgres, Sqlite},
};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout, timeout_at},
};

use super::{
    ACQUIRE_TIMEOUT, connection_error,
    lanes::Lanes,
    locked::Locked,
    postgres,
    renewal::{Renewal, Renewed},
    server::Server,
    transaction::{Transaction, unanswered},
};

const BEGIN: &str = "BEGIN";
/// A BEGIN that nobody waits for any more is given up after so long: the turn and the connection have been had for
/// as long as an answer may take. All connections of a server that is silent for so long are opened anew, so the
/// pool closes this one instead of lending it.
const TO_ITS_END_WITHIN: Duration = ACQUIRE_TIMEOUT
    .saturating_mul(2)
    .saturating_add(postgres::ANSWER_WITHIN);

/// The database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    connections: DatabaseConnection,
    lanes: AnyLanes,
    server: Server,
    /// After which a statement is given up with its connection.
    answer_within: Duration,
}

#[derive(Clone, Debug)]
enum AnyLanes {
    Postgres(Arc<Lanes<Postgres>>),
    Sqlite(Arc<Lanes<Sqlite>>),
}

/// Does the same with the lanes of either database.
macro_rules! with {
    ($lanes:expr, $name:ident => $does:expr) => {
        match $lanes {
            AnyLanes::Postgres($name) => $does,
            AnyLanes::Sqlite($name) => $does,
        }
    };
}

/// How many connections there are.
#[derive(Clone, Copy, Debug)]
pub struct PoolSize {
    /// Open ones.
    pub open: u32,
    /// Open ones that do nothing.
    pub idle: u32,
    /// As many as may be open.
    pub max: u32,
}

impl Database {
    /// Over one of the two that the gateway knows. The pool's connections heed `renewal`.
    pub(super) fn over(connections: DatabaseConnection, renewal: Arc<Renewal>) -> Self {
        if connections.get_database_backend() == DbBackend::Postgres {
            let pool = connections.get_postgres_connection_pool();
            let server = Server::new(renewal, Locked::of(pool));
            let answer_within = postgres::ANSWER_WITHIN;
            let lanes = Lanes::of(pool, server.clone(), answer_within);
            return Self {
                lanes: AnyLanes::Postgres(lanes),
                connections,
                server,
                answer_within,
            };
        }
        let pool = connections.get_sqlite_connection_pool();
        let server = Server::new(renewal, Locked::default());
        // It is in the same process.
        let answer_within = Duration::MAX;
        let lanes = Lanes::of(pool, server.clone(), answer_within);
        Self {
            lanes: AnyLanes::Sqlite(lanes),
            connections,
            server,
            answer_within,
        }
    }

    /// Begins a transaction.
    pub(super) async fn begin_with(
        &self,
        options: TransactionOptions,
    ) -> Result<Transaction, DbErr> {
        self.server.admit(BEGIN)?;
        let begun = timeout(self.answer_within, self.begin_patiently(options)).await;
        let begun = begun.unwrap_or_else(|_| Err(connection_error(unanswered())));
        self.server.heed(BEGIN, &begun);
        let server = self.server.clone();
        Ok(Transaction::new(begun?, server, self.answer_within))
    }

    /// As [`Database::begin_with`], for what may take its time.
    pub(super) async fn begin_patiently(
        &self,
        options: TransactionOptions,
    ) -> Result<DatabaseTransaction, DbErr> {
        if let AnyLanes::Sqlite(_) = self.lanes {
            return self.begin_here(options).await;
        }
        // sqlx forgets a BEGIN that is given up on its way, and what others write on the connection would be
        // part of a transaction that nobody commits.
        let this = self.clone();
        let begin = Box::pin(async move { this.begin_here(options).await });
        ToItsEnd {
            begin: Some(begin),
            until: Instant::now() + TO_ITS_END_WITHIN,
            server: self.server.clone(),
        }
        .await
    }

    async fn begin_here(&self, options: TransactionOptions) -> Result<DatabaseTransaction, DbErr> {
        let _turn = with!(&self.lanes, lanes => lanes.turn().await?);
        self.connections.begin_with_options(options).await
    }

    /// Tells when all connections are opened anew.
    pub fn renewed(&self) -> Renewed {
        self.server.renewal.watch()
    }

    /// All rows of a statement that stands or falls as a whole. To `SQLite` it may be several.
    pub(super) async fn transact(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.lanes {
            // To Postgres one statement is a transaction by itself.
            AnyLanes::Postgres(lanes) => lanes.query_all(statement).await,
            AnyLanes::Sqlite(lanes) => lanes.transact(statement).await,
        }
    }

    /// Has each statement measured. To be called before there are clones.
    pub fn measure(&mut self, measure: impl Fn(&Info<'_>) + Send + Sync + 'static) {
        let measure = Arc::new(measure);
        with!(&self.lanes, lanes => lanes.measure(Arc::clone(&measure) as _));
        self.connections
            .set_metric_callback(move |info| measure(info));
    }

    /// Waits until a statement could run, and a transaction begin.
    ///
    /// # Errors
    /// When that is not in time.
    pub async fn probe(&self) -> Result<(), DbErr> {
        with!(&self.lanes, lanes => lanes.probe().await)
    }

    /// How many connections there are now.
    pub fn size(&self) -> PoolSize {
        with!(&self.lanes, lanes => lanes.size())
    }

    /// Waits for what is under way and closes all connections.
    ///
    /// # Errors
    /// The database's.
    pub async fn close(self) -> Result<(), DbErr> {
        let give_back = async { with!(&self.lanes, lanes => lanes.clear()) };
        // In this order: from the moment on at which the pool is closing, no connection is kept.
        let (closed, ()) = tokio::join!(biased; self.connections.close_by_ref(), give_back);
        closed
    }
}

#[async_trait]
impl ConnectionTrait for Database {
    fn get_database_backend(&self) -> DbBackend {
        self.connections.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        with!(&self.lanes, lanes => lanes.execute(statement).await)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let _turn = with!(&self.lanes, lanes => lanes.turn().await?);
        self.server.admit(sql)?;
        let done = self.connections.execute_unprepared(sql).await;
        self.server.heed(sql, &done);
        done
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        with!(&self.lanes, lanes => lanes.query_one(statement).await)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        with!(&self.lanes, lanes => lanes.query_all(statement).await)
    }
}

/// A beginning that goes on when nobody waits for it any more. What it began is rolled back then.
struct ToItsEnd {
    begin: Option<BoxFuture<'static, Result<DatabaseTransaction, DbErr>>>,
    /// When it is given up, once nobody waits.
    until: Instant,
    server: Server,
}

impl Future for ToItsEnd {
    type Output = Result<DatabaseTransaction, DbErr>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(begin) = &mut self.begin else {
            return Poll::Pending;
        };
        let done = ready!(begin.as_mut().poll(context));
        self.begin = None;
        Poll::Ready(done)
    }
}

impl Drop for ToItsEnd {
    fn drop(&mut self) {
        if let (Some(mut begin), Ok(runtime)) = (self.begin.take(), Handle::try_current()) {
            let (until, server) = (self.until, self.server.clone());
            runtime.spawn(async move {
                if timeout_at(until, &mut begin).await.is_err() {
                    // Before the pool has its connection back.
                    server.heed_error(BEGIN, &unanswered());
                }
            });
        }
    }
}
