//! The pool of connections, and how statements that are no part of a transaction use it.

use std::sync::Arc;

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    metric::Info, sqlx,
};

use super::{errors::acquire_error, lanes::Lanes};

/// The database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    connections: DatabaseConnection,
    lanes: Option<Arc<Lanes>>,
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
    /// For transactions, and for what needs a pool.
    pub(super) fn pool(&self) -> &DatabaseConnection {
        &self.connections
    }

    /// Has each statement measured. To be called before there are clones.
    pub fn measure(&mut self, measure: impl Fn(&Info<'_>) + Send + Sync + 'static) {
        let measure = Arc::new(measure);
        if let Some(lanes) = &self.lanes {
            lanes.measure(Arc::clone(&measure) as _);
        }
        self.connections
            .set_metric_callback(move |info| measure(info));
    }

    /// Waits until a statement could run, and a transaction begin.
    ///
    /// # Errors
    /// When none could in time.
    pub async fn probe(&self) -> Result<(), DbErr> {
        if let Some(lanes) = &self.lanes {
            lanes.probe().await?;
        }
        let connections = &self.connections;
        let acquired = if connections.get_database_backend() == DbBackend::Postgres {
            let pool = connections.get_postgres_connection_pool();
            pool.acquire().await.map(drop)
        } else {
            let pool = connections.get_sqlite_connection_pool();
            pool.acquire().await.map(drop)
        };
        acquired.map_err(acquire_error)
    }

    /// How many connections there are now.
    pub fn size(&self) -> PoolSize {
        fn of<DB: sqlx::Database>(pool: &sqlx::Pool<DB>, kept: usize) -> PoolSize {
            PoolSize {
                open: pool.size(),
                idle: u32::try_from(pool.num_idle() + kept).unwrap_or(u32::MAX),
                max: pool.options().get_max_connections(),
            }
        }
        let kept = self.lanes.as_ref().map_or(0, |lanes| lanes.idle());
        match self.connections.get_database_backend() {
            DbBackend::Postgres => of(self.connections.get_postgres_connection_pool(), kept),
            _ => of(self.connections.get_sqlite_connection_pool(), kept),
        }
    }

    /// Waits for what is under way and closes all connections.
    ///
    /// # Errors
    /// The database's.
    pub async fn close(self) -> Result<(), DbErr> {
        let give_back = async { self.lanes.iter().for_each(|lanes| lanes.clear()) };
        // In this order: from the moment on at which the pool is closing, no connection is kept.
        let (closed, ()) = tokio::join!(biased; self.connections.close_by_ref(), give_back);
        closed
    }
}

impl From<DatabaseConnection> for Database {
    fn from(connections: DatabaseConnection) -> Self {
        let lanes = (connections.get_database_backend() == DbBackend::Postgres)
            .then(|| Lanes::of(connections.get_postgres_connection_pool()));
        Self {
            lanes: lanes.flatten(),
            connections,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Database {
    fn get_database_backend(&self) -> DbBackend {
        self.connections.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        match &self.lanes {
            Some(lanes) => lanes.execute(statement).await,
            None => self.connections.execute_raw(statement).await,
        }
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.connections.execute_unprepared(sql).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.lanes {
            Some(lanes) => lanes.query_one(statement).await,
            None => self.connections.query_one_raw(statement).await,
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.lanes {
            Some(lanes) => lanes.query_all(statement).await,
            None => self.connections.query_all_raw(statement).await,
        }
    }
}
