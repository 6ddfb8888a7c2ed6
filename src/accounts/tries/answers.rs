//! A limit on answers that Intuned does not take: a user can send them again and again.

use std::time::Duration;

use chrono::{DateTime, Utc};
use entity::tries;
use sea_orm::EntityTrait;
use uuid::Uuid;

use super::{Bucket, Limit, Tries};
use crate::accounts::AccountError;

/// As it is counted.
const ANSWER: &str = "answer";
/// So many of a user's come to nothing within [`WINDOW`].
const IN_VAIN: u32 = 10;
/// The span.
const WINDOW: Duration = Duration::from_mins(15);

impl Tries {
    /// Makes sure that not too many of the user's answers have come to nothing. They come one after the other, for
    /// a user has one sign-in in flight: so it is enough that what came to nothing is counted afterwards.
    ///
    /// # Errors
    /// [`AccountError::TooManyTries`], or the database's.
    pub(in crate::accounts) async fn check_answers(
        &self,
        user_id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), AccountError> {
        let bucket = self.of_answerer(user_id);
        let row = tries::Entity::find_by_id(bucket.id);
        if row.one(&self.database).await?.is_none() {
            return Ok(());
        }
        let wait = self.wait(bucket, now).await?.to_std().unwrap_or_default();
        if wait.is_zero() {
            return Ok(());
        }
        self.metrics.refused(ANSWER, bucket.limit.whose);
        Err(AccountError::TooManyTries { retry_after: wait })
    }

    /// Counts an answer that came to nothing.
    ///
    /// # Errors
    /// [`AccountError::TooManyTries`], or the database's.
    pub(in crate::accounts) async fn count_answer(
        &self,
        user_id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), AccountError> {
        self.take(ANSWER, &[self.of_answerer(user_id)], now).await
    }

    fn of_answerer(&self, user_id: Uuid) -> Bucket {
        Bucket {
            id: self.id(&[ANSWER, &user_id.to_string()]),
            limit: Limit::new("user", IN_VAIN, WINDOW),
        }
    }
}
