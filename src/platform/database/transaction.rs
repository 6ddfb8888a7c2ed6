//! A transaction that heeds the server's condition.

use std::{io, time::Duration};

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    sqlx,
};
use tokio::time::timeout;

use super::{connection_error, server::Server};

/// A transaction. It is rolled back unless it is committed.
#[derive(Debug)]
pub struct Transaction {
    inner: DatabaseTransaction,
    server: Server,
    answer_within: Duration,
}

impl Transaction {
    pub(super) fn new(inner: DatabaseTransaction, server: Server, answer_within: Duration) -> Self {
        Self {
            inner,
            server,
            answer_within,
        }
    }

    /// Makes what was done in it stand.
    ///
    /// # Errors
    /// The database's; nobody knows then whether it stands.
    pub async fn commit(self) -> Result<(), DbErr> {
        let Self {
            inner,
            server,
            answer_within,
        } = self;
        let done = answer(answer_within, inner.commit()).await;
        server.heed("COMMIT", &done);
        done
    }

    /// Undoes what was done in it.
    ///
    /// # Errors
    /// The database's; nothing stands then, either.
    pub async fn rollback(self) -> Result<(), DbErr> {
        answer(self.answer_within, self.inner.rollback()).await
    }

    async fn run<T>(
        &self,
        sql: &str,
        run: impl Future<Output = Result<T, DbErr>>,
    ) -> Result<T, DbErr> {
        self.server.admit(sql)?;
        let done = answer(self.answer_within, run).await;
        self.server.heed(sql, &done);
        done
    }
}

/// What becomes of it in time.
async fn answer<T>(
    within: Duration,
    run: impl Future<Output = Result<T, DbErr>>,
) -> Result<T, DbErr> {
    timeout(within, run)
        .await
        .unwrap_or_else(|_| Err(connection_error(unanswered())))
}

/// The server did not answer in time.
pub(super) fn unanswered() -> sqlx::Error {
    io::Error::from(io::ErrorKind::TimedOut).into()
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DbBackend {
        self.inner.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let sql = statement.sql.clone();
        self.run(&sql, self.inner.execute_raw(statement)).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.run(sql, self.inner.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let sql = statement.sql.clone();
        self.run(&sql, self.inner.query_one_raw(statement)).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let sql = statement.sql.clone();
        self.run(&sql, self.inner.query_all_raw(statement)).await
    }
}
