//! The stream behind `operationStatus`: a backfill from the table, then live.

use std::{collections::VecDeque, sync::Arc};

use futures_util::{Stream, stream};
use tokio::time::{Duration, sleep, timeout};
use uuid::Uuid;

use super::{
    bus::{Bus, Receiver},
    error::OperationError,
    model::{Event, EventKind, Operation},
    renderings::Renderings,
    store::{Store, StoreError},
};

/// Followers look into the table after this long without a word, should the word have been lost.
const LOOK_ANYWAY: Duration = Duration::from_secs(30);

/// Pause before the table is read again when it could not be.
const READ_AGAIN: Duration = Duration::from_millis(500);

/// An event with the operation as it is when the event is sent.
#[derive(Clone, Debug)]
pub struct Update {
    /// What happened.
    pub event: Event,
    /// The operation, as far as this replica knows.
    pub operation: Arc<Operation>,
    /// What others made of the same event; none when nobody else follows it.
    pub renderings: Option<Arc<Renderings>>,
}

/// Follows an operation of the user's until it ends: from a snapshot of its state, or from the
/// change after number `after`.
///
/// # Errors
/// [`OperationError::NotFound`], [`OperationError::UnknownSequence`], or the database's.
pub(super) async fn follow(
    store: Store,
    bus: &Bus,
    user_id: Uuid,
    id: Uuid,
    after: Option<i32>,
) -> Result<impl Stream<Item = Result<Update, OperationError>> + use<>, OperationError> {
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
        store,
        receiver,
    };
    let snapshot = follower.snapshot();
    follower.receiver.seed(&follower.operation);
    match after {
        None => follower.due.push_back((snapshot, None)),
        Some(after) if after < 0 || after > follower.operation.sequence => {
            return Err(OperationError::UnknownSequence {
                last: follower.operation.sequence,
            });
        }
        Some(_) => follower.backfill().await?,
    }
    Ok(stream::unfold(Some(follower), |follower| async {
        let mut follower = follower?;
        match follower.next().await {
            Ok(update) => update.map(|update| (Ok(update), Some(follower))),
            Err(error) => Some((Err(error.into()), None)),
        }
    }))
}

struct Follower {
    store: Store,
    receiver: Receiver,
    operation: Arc<Operation>,
    /// Number of the last change that was told.
    told: i32,
    /// What is to be told next.
    due: VecDeque<(Event, Option<Arc<Renderings>>)>,
    /// Whether the table may have changes that are not in `due`.
    behind: bool,
}

impl Follower {
    async fn next(&mut self) -> Result<Option<Update>, StoreError> {
        loop {
            if let Some((event, renderings)) = self.due.pop_front() {
                return Ok(Some(Update {
                    event,
                    operation: self.operation.clone(),
                    renderings,
                }));
            }
            if self.operation.state.has_ended() && self.told >= self.operation.sequence {
                return Ok(None);
            }
            if !self.behind {
                self.listen().await;
            }
            if self.behind {
                match self.refresh().await {
                    Ok(()) => self.behind = false,
                    // What cannot be read now is still there when it can.
                    Err(error) if error.is_transient() => sleep(READ_AGAIN).await,
                    Err(error) => return Err(error),
                }
            }
        }
    }

    /// Waits until there may be something to tell.
    async fn listen(&mut self) {
        let Ok(Some(signal)) = timeout(LOOK_ANYWAY, self.receiver.next()).await else {
            self.behind = true;
            return;
        };
        let Some(event) = signal.event else {
            self.behind = signal.operation.sequence > self.told;
            return;
        };
        let next = match event.kind {
            EventKind::Change => self.told + 1,
            EventKind::Snapshot | EventKind::Progress => self.told,
        };
        if event.sequence == next {
            self.told = next;
            self.operation = signal.operation;
            self.due.push_back((event, signal.renderings));
        } else {
            // A gap; what is older was told already.
            self.behind = event.sequence > next;
        }
    }

    async fn refresh(&mut self) -> Result<(), StoreError> {
        if let Some(operation) = self.store.get(self.operation.id).await? {
            self.operation = Arc::new(operation);
            self.backfill().await?;
        }
        Ok(())
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
        self.due
            .extend(changes.into_iter().map(|event| (event, None)));
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
