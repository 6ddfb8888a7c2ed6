//! Tells open sockets that their session has ended. Sessions ended on this replica are told at
//! once; those ended elsewhere are found by looking, for all watched sessions in one go.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use entity::session;
use sea_orm::{ColumnTrait, DbErr, EntityTrait, QueryFilter, QuerySelect, QueryTrait};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{platform::batch_loader::padded, platform::database::Database};
use ambient::{Clock, Random};

/// With its jitter and the query, less than the five seconds that sockets are promised.
const LOOK_INTERVAL: Duration = Duration::from_secs(4);
const LOOK_JITTER: f64 = 0.15;
/// How many sessions one query asks for.
const CHUNK: usize = 1024;
const PRUNE_INTERVAL: Duration = Duration::from_mins(1);
/// How many expired rows one statement deletes, so that none blocks the table for long.
const PRUNE_CHUNK: u64 = 1000;

/// The sessions that somebody watches. One that nobody watches any more leaves no trace.
#[derive(Debug, Default)]
pub(super) struct SessionWatch(Mutex<HashMap<Uuid, Entry>>);

#[derive(Debug)]
struct Entry {
    ended: CancellationToken,
    watchers: usize,
}

/// One watcher's hold on a session.
#[derive(Debug)]
pub(super) struct Watched {
    watch: Arc<SessionWatch>,
    session: Uuid,
    ended: CancellationToken,
}

impl Watched {
    /// Resolves once the session was ended.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut sessions = self.watch.sessions();
        // A session that was ended has no entry any more, or one of later watchers.
        if self.ended.is_cancelled() {
            return;
        }
        if let Some(entry) = sessions.get_mut(&self.session) {
            entry.watchers -= 1;
            if entry.watchers == 0 {
                sessions.remove(&self.session);
            }
        }
    }
}

impl SessionWatch {
    pub(super) fn watch(this: &Arc<Self>, session: Uuid) -> Watched {
        let mut sessions = this.sessions();
        let entry = sessions.entry(session).or_insert_with(|| Entry {
            ended: CancellationToken::new(),
            watchers: 0,
        });
        entry.watchers += 1;
        Watched {
            watch: Arc::clone(this),
            session,
            ended: entry.ended.clone(),
        }
    }

    /// Tells those who watch the session that it has ended.
    pub(super) fn end(&self, session: Uuid) {
        let mut sessions = self.sessions();
        if let Some(entry) = sessions.remove(&session) {
            entry.ended.cancel();
        }
    }

    /// Looks and prunes from time to time, until dropped.
    pub(super) async fn run(&self, database: &Database, clock: &dyn Clock, random: &Random) {
        let mut prune_at = Instant::now();
        loop {
            if let Err(error) = self.look(database).await {
                tracing::warn!(%error, "sessions could not be looked up; trying again");
            }
            if Instant::now() >= prune_at {
                prune_at = Instant::now() + PRUNE_INTERVAL;
                if let Err(error) = prune(database, clock).await {
                    tracing::warn!(%error, "expired sessions could not be deleted; trying again");
                }
            }
            sleep(random.jitter(LOOK_INTERVAL, LOOK_JITTER)).await;
        }
    }

    /// Ends every watched session that has no row any more.
    async fn look(&self, database: &Database) -> Result<(), DbErr> {
        let watched: Vec<Uuid> = self.sessions().keys().copied().collect();
        for chunk in watched.chunks(CHUNK) {
            let standing: HashSet<Uuid> = session::Entity::find()
                .select_only()
                .column(session::Column::Id)
                .filter(session::Column::Id.is_in(padded(chunk)))
                .into_tuple()
                .all(database)
                .await?
                .into_iter()
                .collect();
            for session in chunk.iter().filter(|id| !standing.contains(id)) {
                self.end(*session);
            }
        }
        Ok(())
    }

    fn sessions(&self) -> MutexGuard<'_, HashMap<Uuid, Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Deletes the rows of sessions that have expired.
async fn prune(database: &Database, clock: &dyn Clock) -> Result<(), DbErr> {
    loop {
        let expired = session::Entity::find()
            .select_only()
            .column(session::Column::Id)
            .filter(session::Column::ExpiresAt.lte(entity::Millis::from(clock.now())))
            .limit(PRUNE_CHUNK)
            .into_query();
        let deleted = session::Entity::delete_many()
            .filter(session::Column::Id.in_subquery(expired))
            .exec(database)
            .await?;
        if deleted.rows_affected < PRUNE_CHUNK {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_watcher_of_the_session_hears_of_its_end_and_no_other() {
        let watch = Arc::<SessionWatch>::default();
        let (ended, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let watchers = [
            SessionWatch::watch(&watch, ended),
            SessionWatch::watch(&watch, ended),
        ];
        let bystander = SessionWatch::watch(&watch, other);
        watch.end(ended);
        for watcher in &watchers {
            watcher.ended().await;
        }
        assert!(!bystander.ended.is_cancelled());
        assert_eq!(watch.sessions().len(), 1);
    }

    #[test]
    fn what_nobody_watches_is_forgotten() {
        let watch = Arc::<SessionWatch>::default();
        let session = Uuid::from_u128(1);
        let first = SessionWatch::watch(&watch, session);
        let second = SessionWatch::watch(&watch, session);
        drop(first);
        assert_eq!(watch.sessions().len(), 1);
        drop(second);
        assert!(watch.sessions().is_empty());
    }

    #[test]
    fn a_watcher_from_before_the_end_does_not_unwatch_a_later_one() {
        let watch = Arc::<SessionWatch>::default();
        let session = Uuid::from_u128(1);
        let before = SessionWatch::watch(&watch, session);
        watch.end(session);
        let after = SessionWatch::watch(&watch, session);
        drop(before);
        assert_eq!(watch.sessions().len(), 1);
        drop(after);
    }
}
