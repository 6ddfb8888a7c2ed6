//! Commands and questions of users about operations.

mod answering;
mod config;
mod connecting;
mod disconnecting;
mod pauses;
mod start;
mod turns;

use std::{sync::Arc, time::Duration};

use tokio::sync::{OwnedMutexGuard, mpsc};
use tokio_util::task::TaskTracker;
use trace_context::TraceContext;
use uuid::Uuid;

use self::{pauses::Pauses, turns::Turns};
use super::{
    drive::{Command, Lease},
    error::OperationError,
    follow::{Follower, LocalBus, follow},
    metric_labels,
    model::{Event, Operation},
    proxy::ProxyPolicy,
    replica::ReplicaBus,
    state::{Observation, transition},
    store::{Fingerprints, Guard, Store, StoreError},
};
use crate::{audit::Origin, connections::removal::Remover};
use intuned_client::IntunedClient;

pub use answering::Answer;
pub use config::OperationsConfig;
pub use connecting::Connected;
pub use start::{Records, Started};

/// A user's command is tried so often against an operation that keeps changing.
const TRIES: usize = 5;

/// Starts, answers, cancels and follows operations. Clones share everything.
#[derive(Clone, Debug)]
pub struct Operations {
    store: Store,
    bus: LocalBus,
    lease: Lease,
    replica_bus: ReplicaBus,
    intuned: IntunedClient,
    remover: Remover,
    turns: Arc<Turns>,
    pauses: Arc<Pauses>,
    commands: mpsc::Sender<Command>,
    proxies: Arc<ProxyPolicy>,
    fingerprints: Fingerprints,
    /// An answer is sent within this time of being written down: so it has arrived, or failed, before
    /// anybody may ask anew.
    answer_within: Duration,
    /// Commands run to their end although the client that sent them has gone.
    tasks: TaskTracker,
}

impl Operations {
    /// Gives the operation up; one that has ended stays as it is.
    ///
    /// # Errors
    /// [`OperationError::NotFound`], or the database's.
    pub async fn cancel(
        &self,
        user_id: Uuid,
        id: Uuid,
        origin: Origin,
    ) -> Result<Operation, OperationError> {
        let this = self.clone();
        self.to_its_end(async move {
            let _turn = this.turn(user_id).await?;
            for _ in 0..TRIES {
                let operation = this
                    .get(user_id, id)
                    .await?
                    .ok_or(OperationError::NotFound)?;
                let canceled = Observation::CanceledByUser;
                match this.change(&operation, canceled, &origin).await {
                    Err(OperationError::Store(StoreError::Superseded)) => {}
                    changed => return changed,
                }
            }
            Err(StoreError::Superseded.into())
        })
        .await
    }

    /// One of the user's own operations; none when there is none of that id, or it is someone else's.
    ///
    /// # Errors
    /// The database's.
    pub async fn get(&self, user_id: Uuid, id: Uuid) -> Result<Option<Operation>, StoreError> {
        let operation = self.store.get(id).await?;
        Ok(operation
            .filter(|operation| operation.user_id == user_id)
            .map(|operation| self.bus.with_polls(operation)))
    }

    /// The user's operation in flight.
    ///
    /// # Errors
    /// The database's.
    pub async fn in_flight(&self, user_id: Uuid) -> Result<Option<Operation>, StoreError> {
        self.store.in_flight(user_id).await
    }

    /// Follows one of the user's own operations until it ends: from a snapshot of its state, or from
    /// the change after number `after`.
    ///
    /// # Errors
    /// [`OperationError::NotFound`], [`OperationError::UnknownSequence`], or the database's.
    pub async fn follow(
        &self,
        user_id: Uuid,
        id: Uuid,
        after: Option<i32>,
    ) -> Result<Follower, OperationError> {
        follow(self.store.clone(), &self.bus, user_id, id, after).await
    }

    /// The number of operations that this replica drives, by status.
    pub fn driven(&self) -> impl Iterator<Item = (&'static str, usize)> + use<> {
        let driven = self.bus.driven_by_status();
        metric_labels::IN_FLIGHT.into_iter().map(move |status| {
            let count = driven.get(&status).copied().unwrap_or_default();
            (metric_labels::status(status), count)
        })
    }

    /// The time since this replica last gave a sign of life; none before the first.
    pub fn lease_age(&self) -> Option<Duration> {
        self.lease.age()
    }

    /// Tells whether the other replicas can take this one to be alive.
    pub fn is_alive(&self) -> bool {
        self.lease
            .age()
            .is_some_and(|age| age < self.lease.duration())
    }

    /// Tells whether notifications of the other replicas are heard; true where there can be none.
    pub fn is_listening(&self) -> bool {
        self.replica_bus.is_listening()
    }

    /// Waits for the turn of one of the user's commands.
    async fn turn(&self, user_id: Uuid) -> Result<OwnedMutexGuard<()>, StoreError> {
        Ok(self.turns.take(user_id).await?)
    }

    /// Writes what a user's command changes.
    async fn change(
        &self,
        operation: &Operation,
        observation: Observation,
        origin: &Origin,
    ) -> Result<Operation, OperationError> {
        let next = match transition(&operation.state, observation) {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(operation.clone()),
            Err(error) => {
                tracing::debug!(operation.id = %operation.id, %error, "a command came too late");
                return Err(StoreError::Superseded.into());
            }
        };
        let guard = Guard::Sequence(origin);
        let applied = self.store.apply(operation, next, guard).await;
        if let Err(StoreError::Superseded) = applied {
            // Perhaps by this very write: the acknowledgement of its COMMIT may have been lost, and
            // then nobody here knows of the change.
            self.tell(Command::Reload(operation.id)).await.ok();
        }
        let (changed, event) = applied?;
        self.tell_followers(&changed, event).await;
        Ok(changed)
    }

    async fn tell_followers(&self, operation: &Operation, event: Event) {
        self.bus.publish(operation, event);
        metric_labels::ended(&self.store.metrics, operation);
        if operation.state.has_ended() {
            self.remover.wake();
        }
        // Without a supervisor (it is shutting down) the table has it, for whoever is next.
        self.tell(Command::Reload(operation.id)).await.ok();
    }

    async fn tell(&self, command: Command) -> Result<(), OperationError> {
        let told = self.commands.send(command).await;
        told.map_err(|_| OperationError::ShuttingDown)
    }

    async fn to_its_end<T: Send + 'static>(
        &self,
        command: impl Future<Output = Result<T, OperationError>> + Send + 'static,
    ) -> Result<T, OperationError> {
        let ended = self
            .tasks
            .spawn(TraceContext::current().instrument(command))
            .await;
        ended.unwrap_or(Err(OperationError::ShuttingDown))
    }
}
