//! Noted events, which wait to be written, many at a time.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use entity::audit_event;
use sea_orm::{DbErr, EntityTrait};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::metrics::{AuditMetrics, DropReason};
use crate::platform::database::{self, Database};

/// How many noted events may wait to be written.
const MOST: usize = 8192;
/// How many of them may be one user's, so that they push out nobody else's.
const MOST_OF_USER: usize = 16;
/// How many events one statement writes.
const AT_ONCE: usize = 100;

/// Notes events. Clones share the queue.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    queue: mpsc::Sender<Note>,
    waiting: Waiting,
    metrics: AuditMetrics,
}

/// An event that waits.
#[derive(Debug)]
pub(super) struct Note {
    event: audit_event::ActiveModel,
    _place: Place,
}

impl Notes {
    /// Events go to the receiver, which is to be handed to [`write`].
    pub(super) fn new(metrics: AuditMetrics) -> (Self, mpsc::Receiver<Note>) {
        let (queue, receiver) = mpsc::channel(MOST);
        let notes = Self {
            queue,
            waiting: Waiting::default(),
            metrics,
        };
        (notes, receiver)
    }

    /// Notes the user's event, or counts it as dropped.
    pub(super) fn put(&self, user_id: Uuid, event: audit_event::ActiveModel) {
        let Some(place) = self.waiting.place(user_id) else {
            tracing::debug!("an audit event was not written: too many of the same user wait");
            self.metrics.dropped(DropReason::User);
            return;
        };
        let note = Note {
            event,
            _place: place,
        };
        if self.queue.try_send(note).is_err() {
            tracing::warn!("an audit event was not written: too many wait");
            self.metrics.dropped(DropReason::All);
        }
    }
}

/// How many events of each user's wait.
#[derive(Clone, Debug, Default)]
struct Waiting(Arc<Mutex<HashMap<Uuid, usize>>>);

/// The place of one of them, until it is dropped.
#[derive(Debug)]
struct Place {
    waiting: Waiting,
    user_id: Uuid,
}

impl Waiting {
    fn place(&self, user_id: Uuid) -> Option<Place> {
        let mut counts = self.lock();
        let count = counts.entry(user_id).or_default();
        if *count == MOST_OF_USER {
            return None;
        }
        *count += 1;
        Some(Place {
            waiting: self.clone(),
            user_id,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Entry::Occupied(mut count) = self.waiting.lock().entry(self.user_id) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// Writes what is noted until `shutdown`, and then what waits.
pub(super) async fn write(
    database: Database,
    mut queue: mpsc::Receiver<Note>,
    metrics: AuditMetrics,
    shutdown: CancellationToken,
) {
    let mut notes = Vec::with_capacity(AT_ONCE);
    loop {
        tokio::select! {
            biased;
            count = queue.recv_many(&mut notes, AT_ONCE) => {
                if count == 0 {
                    return;
                }
                write_all(&database, &notes, &metrics).await;
                notes.clear();
            }
            // What was noted until now is still read, and nothing after that.
            () = shutdown.cancelled(), if !queue.is_closed() => queue.close(),
        }
    }
}

async fn write_all(database: &Database, notes: &[Note], metrics: &AuditMetrics) {
    let events = || notes.iter().map(|note| note.event.clone());
    if insert(database, events()).await.is_ok() {
        return;
    }
    // One of an account that was deleted meanwhile must not take the others with it.
    for event in events() {
        match insert(database, [event]).await {
            Err(error) if database::is_foreign_key_violation(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "an audit event was not written");
                metrics.dropped(DropReason::Database);
            }
            Ok(()) => {}
        }
    }
}

async fn insert(
    database: &Database,
    events: impl IntoIterator<Item = audit_event::ActiveModel>,
) -> Result<(), DbErr> {
    audit_event::Entity::insert_many(events)
        .exec_without_returning(database)
        .await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(notes: &Notes, user: u128, events: usize) {
        for _ in 0..events {
            notes.put(Uuid::from_u128(user), audit_event::ActiveModel::default());
        }
    }

    #[tokio::test]
    async fn nothing_of_one_users_pushes_out_anothers() {
        let (notes, mut receiver) = Notes::new(AuditMetrics::default());
        put(&notes, 1, 10 * MOST);
        assert_eq!(receiver.len(), MOST_OF_USER);
        put(&notes, 2, 3);
        assert_eq!(receiver.len(), MOST_OF_USER + 3);
        // Once they are written, there is room again, and nothing is left of who noted them.
        while receiver.try_recv().is_ok() {}
        assert!(notes.waiting.lock().is_empty());
        put(&notes, 1, 1);
        assert_eq!(receiver.len(), 1);
    }
}
