//! Budgets for what a user reads from Intuned: a run keeps a browser busy there, and a status is a request.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::DbErr;
use uuid::Uuid;

use super::{Bucket, Limit, Tries};
use crate::accounts::AccountError;

/// A number of reads within a span of time. They come back one by one, evenly over the span.
#[derive(Clone, Copy, Debug)]
pub struct Budget {
    /// How often; 0 for any number.
    pub tries: u32,
    /// The span.
    pub window: Duration,
}

/// Budgets of each user.
#[derive(Clone, Copy, Debug)]
pub struct ReadBudgets {
    /// For runs that begin (settings `RUN_TRIES` and `RUN_WINDOW`).
    pub runs: Budget,
    /// For statuses that are asked for (settings `STATUS_TRIES` and `STATUS_WINDOW`).
    pub statuses: Budget,
}

/// Something that is read from Intuned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// A run of the project, of whichever API.
    Run,
    /// An auth session's status.
    Status,
}

impl Budget {
    /// No limit.
    pub const ANY: Self = Self {
        tries: 0,
        window: Duration::from_secs(1),
    };

    fn limit(self) -> Option<Limit> {
        (self.tries > 0).then(|| Limit::new("user", self.tries, self.window))
    }
}

impl Default for ReadBudgets {
    fn default() -> Self {
        Self {
            runs: Budget {
                tries: 10,
                window: Duration::from_mins(15),
            },
            statuses: Budget {
                tries: 30,
                window: Duration::from_mins(1),
            },
        }
    }
}

impl Read {
    /// As it is counted.
    fn name(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Status => "status",
        }
    }
}

impl Tries {
    /// Counts one read.
    ///
    /// # Errors
    /// [`AccountError::TooManyTries`], or the database's.
    pub(in crate::accounts) async fn count_read(
        &self,
        read: Read,
        user_id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), AccountError> {
        match self.of_reader(read, user_id) {
            Some(bucket) => self.take(read.name(), &[bucket], now).await,
            None => Ok(()),
        }
    }

    /// Gives one back that came to nothing.
    pub(in crate::accounts) async fn give_back_read(
        &self,
        read: Read,
        user_id: Uuid,
    ) -> Result<(), DbErr> {
        match self.of_reader(read, user_id) {
            Some(bucket) => self.give_back(&[bucket]).await,
            None => Ok(()),
        }
    }

    fn of_reader(&self, read: Read, user_id: Uuid) -> Option<Bucket> {
        let budget = match read {
            Read::Run => self.reads.runs,
            Read::Status => self.reads.statuses,
        };
        let id = self.id(&[read.name(), &user_id.to_string()]);
        budget.limit().map(|limit| Bucket { id, limit })
    }
}
