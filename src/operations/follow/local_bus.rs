//! Wakes followers up. What it carries is a convenience: the table is the truth, and a follower that
//! sees a gap in the sequence numbers reads what it missed from there.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI32, Ordering},
    },
};

use chrono::{DateTime, Utc};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::renderings::Renderings;
use crate::operations::{
    model::{Event, EventKind, Operation},
    state::Status,
};

/// The latest thing that happened to an operation.
#[derive(Clone, Debug)]
pub(super) struct Signal {
    /// The operation as of its last change.
    pub(super) operation: Arc<Operation>,
    /// The number of times that Intuned has been asked.
    polls: i32,
    /// The event; none when that is to be read from the table.
    pub(super) event: Option<Event>,
    /// A place for what several followers would each make of the event; none when there is one only.
    pub(super) renderings: Option<Arc<Renderings>>,
}

/// Hands the latest event of each operation to those who follow it. It keeps no queue: a follower
/// that is slow misses progress, and finds changes in the table. Clones share the channels.
#[derive(Clone, Debug, Default)]
pub(in crate::operations) struct LocalBus {
    channels: Arc<Mutex<Channels>>,
    driven: Arc<Mutex<HashMap<Uuid, Driven>>>,
    new_followers: Arc<Notify>,
}

/// The knowledge of an operation that is driven here.
#[derive(Debug)]
struct Driven {
    sequence: i32,
    status: Status,
    polls: Polls,
}

/// The number of times that Intuned has been asked about an operation that is driven here. Clones share the number: who
/// drives it counts without looking for it among all the others.
#[derive(Clone, Debug)]
pub(in crate::operations) struct Polls(Arc<AtomicI32>);

impl Polls {
    fn new(number: i32) -> Self {
        Self(Arc::new(AtomicI32::new(number)))
    }

    fn get(&self) -> i32 {
        self.0.load(Ordering::Relaxed)
    }

    pub(in crate::operations) fn set(&self, number: i32) {
        self.0.store(number, Ordering::Relaxed);
    }
}

type Channels = HashMap<Uuid, watch::Sender<Option<Signal>>>;

/// One follower's end of an operation's channel; its drop frees the channel when it was the last.
#[derive(Debug)]
pub(super) struct Receiver {
    id: Uuid,
    bus: LocalBus,
    signals: Option<watch::Receiver<Option<Signal>>>,
}

impl LocalBus {
    /// Follows the operation from now on.
    pub(super) fn subscribe(&self, id: Uuid) -> Receiver {
        let mut channels = self.channels();
        let sender = channels
            .entry(id)
            .or_insert_with(|| watch::Sender::new(None));
        let signals = Some(sender.subscribe());
        drop(channels);
        if !self.is_driven_here(id) {
            self.new_followers.notify_one();
        }
        Receiver {
            id,
            bus: self.clone(),
            signals,
        }
    }

    /// Tells whether anybody follows the operation here.
    pub(in crate::operations) fn is_followed(&self, id: Uuid) -> bool {
        self.channels().contains_key(&id)
    }

    /// Wakes whoever waits when an operation that is driven elsewhere finds a follower here.
    pub(in crate::operations) fn new_followers(&self) -> Arc<Notify> {
        self.new_followers.clone()
    }

    /// The operations that are followed here.
    pub(in crate::operations) fn followed(&self) -> Vec<Uuid> {
        self.channels().keys().copied().collect()
    }

    /// The operations that are followed here and are driven elsewhere.
    pub(in crate::operations) fn followed_from_elsewhere(&self) -> Vec<Uuid> {
        let followed = self.followed();
        let driven = lock(&self.driven);
        let elsewhere = |id: &Uuid| !driven.contains_key(id);
        followed.into_iter().filter(elsewhere).collect()
    }

    /// Tells whether the operation is followed here, by somebody who may not know of this change yet.
    pub(in crate::operations) fn is_behind(&self, id: Uuid, sequence: i32) -> bool {
        self.channels().get(&id).is_some_and(|sender| {
            let latest = sender.borrow();
            latest
                .as_ref()
                .is_none_or(|signal| signal.operation.sequence < sequence)
        })
    }

    /// Tells the operation's followers of an event.
    pub(in crate::operations) fn publish(&self, operation: &Operation, event: Event) {
        self.send(operation, Some(event));
    }

    /// Has the operation's followers look into the table if they do not know it as it is here.
    pub(in crate::operations) fn wake(&self, operation: &Operation) {
        self.send(operation, None);
    }

    fn send(&self, operation: &Operation, event: Option<Event>) {
        if let Some(sender) = self.channels().get(&operation.id) {
            let renderings = renderings(sender);
            sender.send_if_modified(|latest| {
                let known = latest.as_ref().map(|signal| &signal.operation);
                if known.is_some_and(|known| known.sequence > operation.sequence) {
                    // Overtaken on its way here.
                    return false;
                }
                let known = known.filter(|known| known.sequence == operation.sequence);
                let known = known.cloned();
                *latest = Some(Signal {
                    operation: known.unwrap_or_else(|| Arc::new(operation.clone())),
                    polls: operation.polls,
                    event,
                    renderings,
                });
                true
            });
        }
    }

    /// Tells the followers of an operation that is driven elsewhere how often Intuned has been asked.
    pub(in crate::operations) fn publish_polls(&self, id: Uuid, polls: i32, now: DateTime<Utc>) {
        if let Some(sender) = self.channels().get(&id) {
            let renderings = renderings(sender);
            sender.send_if_modified(|latest| match latest {
                Some(signal) if !signal.operation.state.has_ended() => {
                    let operation = &signal.operation;
                    let message = operation.state.message();
                    signal.polls = signal.polls.max(polls);
                    signal.event = Some(Event {
                        polls: signal.polls,
                        ..operation.event(EventKind::Progress, message, now)
                    });
                    signal.renderings = renderings;
                    true
                }
                _ => false,
            });
        }
    }

    /// Notes how an operation that is driven here stands. Polls that changed nothing are counted in what
    /// this answers: the table learns of them only with the next change.
    pub(in crate::operations) fn note_driven(&self, operation: &Operation) -> Polls {
        let mut driven = lock(&self.driven);
        let noted = driven.entry(operation.id).or_insert_with(|| Driven {
            sequence: operation.sequence,
            status: operation.state.status(),
            polls: Polls::new(operation.polls),
        });
        // Else it was overtaken on its way here.
        if operation.sequence >= noted.sequence {
            noted.sequence = operation.sequence;
            noted.status = operation.state.status();
            noted.polls.set(operation.polls);
        }
        noted.polls.clone()
    }

    /// The operation is not driven here any more.
    pub(in crate::operations) fn forget_driven(&self, id: Uuid) {
        lock(&self.driven).remove(&id);
    }

    /// The operations that are driven here, each with the number of the last change that is known here.
    pub(in crate::operations) fn driven(&self) -> Vec<(Uuid, i32)> {
        let driven = lock(&self.driven);
        driven
            .iter()
            .map(|(id, driven)| (*id, driven.sequence))
            .collect()
    }

    /// The number of operations that are driven here, by status.
    pub(in crate::operations) fn driven_by_status(&self) -> HashMap<Status, usize> {
        let mut counts = HashMap::new();
        for driven in lock(&self.driven).values() {
            *counts.entry(driven.status).or_default() += 1;
        }
        counts
    }

    /// The number of polls; none when the operation is not driven here.
    pub(in crate::operations) fn polls(&self, id: Uuid) -> Option<i32> {
        lock(&self.driven).get(&id).map(|driven| driven.polls.get())
    }

    /// Tells whether this replica drives the operation.
    pub(in crate::operations) fn is_driven_here(&self, id: Uuid) -> bool {
        lock(&self.driven).contains_key(&id)
    }

    /// The operation with the polls that the table has not heard of.
    pub(in crate::operations) fn with_polls(&self, mut operation: Operation) -> Operation {
        if let Some(polls) = self.polls(operation.id) {
            operation.polls = operation.polls.max(polls);
        }
        operation
    }

    fn channels(&self) -> MutexGuard<'_, Channels> {
        lock(&self.channels)
    }
}

/// A place for what the followers make of an event, where there are several.
fn renderings(sender: &watch::Sender<Option<Signal>>) -> Option<Arc<Renderings>> {
    (sender.receiver_count() > 1).then(Arc::default)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Receiver {
    /// Waits for something new and returns the latest.
    pub(super) async fn next(&mut self) -> Option<Signal> {
        let signals = self.signals.as_mut()?;
        signals.changed().await.ok()?;
        signals.borrow_and_update().clone()
    }

    /// Lets others know how far this follower is, for want of anything that was published: from here
    /// on only what is newer is news. Answers whether somebody is further already, of which this
    /// follower would not hear any more.
    pub(super) fn seed(&self, operation: &Arc<Operation>) -> bool {
        let mut is_behind = false;
        if let Some(sender) = self.bus.channels().get(&self.id) {
            sender.send_if_modified(|latest| {
                let known = latest.get_or_insert_with(|| Signal {
                    operation: operation.clone(),
                    polls: operation.polls,
                    event: None,
                    renderings: None,
                });
                is_behind = known.operation.sequence > operation.sequence;
                false
            });
        }
        is_behind
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let mut channels = self.bus.channels();
        self.signals = None;
        if channels
            .get(&self.id)
            .is_some_and(|sender| sender.receiver_count() == 0)
        {
            channels.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operations::{
        model::{FIRST_EPOCH, Ownership},
        state::{Kind, State},
    };

    #[test]
    fn channel_lives_as_long_as_it_is_followed() {
        let bus = LocalBus::default();
        let id = Uuid::from_u128(1);
        let first = bus.subscribe(id);
        let second = bus.subscribe(id);
        drop(first);
        assert!(bus.is_followed(id));
        drop(second);
        assert!(!bus.is_followed(id));
        assert!(bus.channels().is_empty());
    }

    #[tokio::test]
    async fn older_change_does_not_replace_newer_one() {
        let bus = LocalBus::default();
        let older = operation(2);
        let mut receiver = bus.subscribe(older.id);
        bus.wake(&operation(3));
        bus.wake(&older);
        assert_eq!(receiver.next().await.unwrap().operation.sequence, 3);
        bus.wake(&older);
        assert!(!bus.is_behind(older.id, 3));
    }

    #[test]
    fn driven_operation_is_noted_as_it_was_last() {
        let bus = LocalBus::default();
        let (older, newer) = (operation(2), operation(3));
        let polls = bus.note_driven(&newer);
        polls.set(7);
        bus.note_driven(&older).set(8);
        assert_eq!(bus.driven(), [(newer.id, 3)]);
        assert_eq!(bus.with_polls(newer).polls, 8);
        bus.forget_driven(older.id);
        assert_eq!(bus.with_polls(older).polls, 0);
    }

    #[test]
    fn seeding_tells_that_another_follower_is_further() {
        let bus = LocalBus::default();
        let (older, newer) = (Arc::new(operation(2)), Arc::new(operation(3)));
        let (slow, quick) = (bus.subscribe(older.id), bus.subscribe(older.id));
        assert!(!quick.seed(&newer));
        assert!(slow.seed(&older));
        assert!(!bus.is_behind(older.id, 3));
    }

    fn operation(sequence: i32) -> Operation {
        Operation {
            id: Uuid::from_u128(1),
            user_id: Uuid::from_u128(2),
            kind: Kind::Connect,
            state: State::Starting,
            sequence,
            auth_session_id: String::new(),
            connection_id: None,
            polls: 0,
            ownership: Ownership {
                owner: None,
                epoch: FIRST_EPOCH,
            },
            created_at: DateTime::UNIX_EPOCH,
            updated_at: DateTime::UNIX_EPOCH,
            expires_at: DateTime::UNIX_EPOCH,
        }
    }
}
