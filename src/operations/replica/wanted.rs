//! Operations driven here of which other replicas want to hear.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;
use uuid::Uuid;

use crate::operations::message::PollCount;

/// The operations that are followed elsewhere, and what was told of each. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted(Arc<Mutex<HashMap<Uuid, Followed>>>);

#[derive(Clone, Copy, Debug)]
struct Followed {
    until: Instant,
    /// The number of polls that was told last.
    told: i32,
}

impl Wanted {
    /// Notes that these are followed elsewhere, for so long.
    pub(super) fn extend(&self, ids: impl Iterator<Item = Uuid>, time: Duration) {
        let until = Instant::now() + time;
        let mut followed = self.lock();
        for id in ids {
            followed
                .entry(id)
                .and_modify(|followed| followed.until = until)
                .or_insert(Followed { until, told: 0 });
        }
    }

    /// The counts that have grown since they were told last; from now on they count as told.
    pub(super) fn news(&self, polls: impl Fn(Uuid) -> Option<i32>) -> Vec<PollCount> {
        let mut followed = self.lock();
        let now = Instant::now();
        followed.retain(|_, followed| followed.until > now);
        let mut news = Vec::new();
        for (id, followed) in followed.iter_mut() {
            if let Some(polls) = polls(*id).filter(|polls| *polls > followed.told) {
                followed.told = polls;
                news.push(PollCount { id: *id, polls });
            }
        }
        news
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Followed>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn progress_is_told_once_and_only_while_it_is_wanted() {
        let wanted = Wanted::default();
        let id = Uuid::from_u128(1);
        let news = |polls| wanted.news(|_| Some(polls)).len();
        assert_eq!(news(1), 0);
        wanted.extend([id].into_iter(), Duration::from_secs(15));
        assert_eq!([news(1), news(1), news(2)], [1, 0, 1]);
        tokio::time::advance(Duration::from_secs(15)).await;
        assert_eq!(news(3), 0);
    }
}
