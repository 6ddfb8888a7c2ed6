//! The condition of the database's server, as its errors tell it: what all who use a connection heed.

use std::sync::Arc;

use sea_orm::{DbErr, sqlx};

use super::{
    errors::{is_lock_timeout, is_read_only_sqlx, is_unanswered, sqlx_error},
    locked::Locked,
    renewal::Renewal,
};

/// What is known of the server. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct Server {
    pub(super) renewal: Arc<Renewal>,
    locked: Arc<Locked>,
}

impl Server {
    pub(super) fn new(renewal: Arc<Renewal>, locked: Locked) -> Self {
        Self {
            renewal,
            locked: Arc::new(locked),
        }
    }

    /// Refuses a statement that could only wait.
    ///
    /// # Errors
    /// One that passes.
    pub(super) fn admit(&self, sql: &str) -> Result<(), DbErr> {
        self.locked.admit(sql)
    }

    /// Learns from what became of a statement.
    pub(super) fn heed<T>(&self, sql: &str, done: &Result<T, DbErr>) {
        if let Err(error) = done
            && let Some(error) = sqlx_error(error)
        {
            self.heed_error(sql, error);
        }
    }

    /// The same of its error. Answers whether all connections are opened anew.
    pub(super) fn heed_error(&self, sql: &str, error: &sqlx::Error) -> bool {
        if is_lock_timeout(error) {
            self.locked.suspect(sql);
            return false;
        }
        if is_read_only_sqlx(error) {
            let begun = self.renewal.begin();
            if begun {
                tracing::warn!(%error, "the database takes no writes: it is a standby, or was made read-only; connecting anew");
            }
            return begun;
        }
        is_unanswered(error) && self.renewal.begin()
    }
}
