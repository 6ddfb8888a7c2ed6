//! The stream behind `operationStatus`: a backfill from the table, then live.

use std::{collections::VecDeque, sync::Arc};

use tokio::time::{Duration, sleep};
use uuid::Uuid;

use super::{
    local_bus::{LocalBus, Receiver, Signal},
    renderings::Renderings,
};
use crate::operations::{
    error::OperationError,
    model::{Event, EventKind, Operation},
    store::{Store, StoreError},
};

/// Pause before the table is read again when it could not be.
const READ_AGAIN: Duration = Duration::from_millis(500);

/// An event with the operation as it is when the event is sent.
#[derive(Clone, Debug)]
pub struct Update {
    /// The event.
    pub event: Event,
    /// The operation as of its last change, as far as this replica knows.
    pub operation: Arc<Operation>,
    /// The renderings that others made of the same event; none when nobody else follows it.
    pub renderings: Option<Arc<Renderings>>,
}

/// Somebody who follows an operation to its end. Thousands may wait at once, so that what happens
/// rarely is boxed and nothing is held that can be made anew.
#[derive(Debug)]
pub struct Follower {
    store: Store,
    receiver: Receiver,
    operation: Arc<Operation>,
    /// Number of the last change that was told.
    told: i32,
    /// The events that were read and are to be told next.
    due: VecDeque<Event>,
    /// True when the table may have changes that are not in `due`.
    behind: bool,
    /// True when it cannot go on.
    failed: bool,
}

/// Follows an operation of the user's until it ends: from a snapshot of its state, or from the
/// change after number `after`.
///
/// # Errors
/// [`OperationError::NotFound`], [`OperationError::UnknownSequence`], or the database's.
pub(in crate::operations) async fn follow(
    store: Store,
    bus: &LocalBus,
    user_id: Uuid,
    id: Uuid,
    after: Option<i32>,
) -> Result<Follower, OperationError> {
    // Listen first, then look: what happens in between is in both, and is told once.
    let receiver = bus.subscribe(id);
    let operation = store
        .get(id)
        .await?
        .filter(|operation| operation.user_id == user_id)
        .map(|operation| bus.with_polls(operation))
        .ok_or(OperationError::NotFound)?;
    let mut follower = Follower {
        told: after.unwrap_or(operation.sequence),
        operation: Arc::new(operation),
        due: VecDeque::new(),
        behind: false,
        failed: false,
        store,
        receiver,
    };
    let snapshot = follower.snapshot();
    follower.behind = follower.receiver.seed(&follower.operation);
    match after {
        None => follower.due = [snapshot].into(),
        Some(after) if after < 0 || after > follower.operation.sequence => {
            return Err(OperationError::UnknownSequence {
                last: follower.operation.sequence,
            });
        }
        Some(_) => follower.backfill().await?,
    }
    Ok(follower)
}

impl Follower {
    /// The next thing that happens; none after the end, or after an error.
    ///
    /// # Errors
    /// The database's, unless it may pass.
    pub async fn next(&mut self) -> Option<Result<Update, OperationError>> {
        while !self.failed {
            if let Some(event) = self.due.pop_front() {
                if self.due.is_empty() {
                    self.due = VecDeque::new();
                }
                return Some(Ok(self.update(event, None)));
            }
            if self.operation.state.has_ended() && self.told >= self.operation.sequence {
                break;
            }
            if !self.behind
                && let Some(update) = self.listen().await
            {
                return Some(Ok(update));
            }
            if self.behind {
                match Box::pin(self.refresh()).await {
                    Ok(true) => self.behind = false,
                    Ok(false) => {
                        self.failed = true;
                        return Some(Err(OperationError::NotFound));
                    }
                    // What cannot be read now is still there when it can.
                    Err(error) if error.is_transient() => Box::pin(sleep(READ_AGAIN)).await,
                    Err(error) => {
                        self.failed = true;
                        return Some(Err(error.into()));
                    }
                }
            }
        }
        None
    }

    /// Waits until there may be something to tell; what was heard, where that is all. Should the word have
    /// been lost, it is the replica bus that looks into the table, for all followers at once.
    async fn listen(&mut self) -> Option<Update> {
        let signal = self.receiver.next().await;
        self.behind = signal.is_none();
        signal.and_then(|signal| self.hear(signal))
    }

    fn hear(&mut self, signal: Signal) -> Option<Update> {
        let Some(event) = signal.event else {
            self.behind = signal.operation.sequence > self.told;
            return None;
        };
        let next = match event.kind {
            EventKind::Change => self.told + 1,
            EventKind::Snapshot | EventKind::Progress => self.told,
        };
        if event.sequence != next {
            // A gap; what is older was told already.
            self.behind = event.sequence > next;
            return None;
        }
        self.told = next;
        self.operation = signal.operation;
        Some(self.update(event, signal.renderings))
    }

    fn update(&self, event: Event, renderings: Option<Arc<Renderings>>) -> Update {
        Update {
            event,
            operation: Arc::clone(&self.operation),
            renderings,
        }
    }

    /// Reads how the operation stands; false when there is none any more.
    async fn refresh(&mut self) -> Result<bool, StoreError> {
        let Some(operation) = self.store.get(self.operation.id).await? else {
            return Ok(false);
        };
        self.operation = Arc::new(operation);
        self.backfill().await?;
        Ok(true)
    }

    /// Reads the changes that have not been told.
    async fn backfill(&mut self) -> Result<(), StoreError> {
        let changes = self
            .store
            .changes_after(self.operation.id, self.told)
            .await?;
        if let Some(last) = changes.last() {
            self.told = last.sequence;
        }
        self.due.extend(changes);
        // The table may be ahead of the row that was read before it.
        if self.told > self.operation.sequence
            && let Some(operation) = self.store.get(self.operation.id).await?
        {
            self.operation = Arc::new(operation);
        }
        Ok(())
    }

    fn snapshot(&self) -> Event {
        let now = self.store.clock.now();
        let message = self.operation.state.message();
        self.operation.event(EventKind::Snapshot, message, now)
    }
}
