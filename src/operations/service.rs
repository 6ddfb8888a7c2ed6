//! What users may do with operations.

mod answering;
mod disconnecting;

use std::{sync::Arc, time::Duration};

use chrono::TimeDelta;
use secrecy::SecretString;
use tokio::{
    sync::{Notify, OwnedMutexGuard, Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use uuid::Uuid;

pub use answering::Answer;
use trace_context::TraceContext;

use super::metrics::OperationMetrics;
use super::{
    bus::Bus,
    counts,
    error::OperationError,
    exchange::Exchange,
    fingerprint::Fingerprints,
    follow::{self, Follower},
    input,
    insertion::Inserted,
    model::{Credentials, Operation},
    pace::Pace,
    pauses::Pauses,
    poller::{Command, Poller},
    proxy::ProxyPolicy,
    pruning,
    remover::Remover,
    replica::{Heart, Replica, ReplicaError},
    state::{Failure, Observation, observe},
    store::{self, Guard, Store, StoreError},
    turns::Turns,
    worker::Worker,
};
use crate::{
    audit::{Origin, Trail},
    platform::crash::{self, Point},
    platform::single_flight::SingleFlight,
    platform::{
        Runtime,
        database::{Workspace, WorkspaceError},
    },
    webhooks::Outbox,
};
use intuned_client::IntunedClient;

const COMMANDS: usize = 1024;
/// How often a user's command is tried against an operation that keeps changing.
const TRIES: usize = 5;

/// How operations are driven.
#[derive(Clone, Debug)]
pub struct OperationsConfig {
    /// How long to wait for what.
    pub pace: Pace,
    /// How long an operation may take (setting `OPERATION_TIMEOUT`).
    pub timeout: Duration,
    /// A replica that has not been heard of for so long is taken to be dead (setting `LEASE`).
    pub lease: Duration,
    /// How long operations that have ended are kept (setting `OPERATION_RETENTION`); longer than an
    /// idempotency key counts.
    pub retention: Duration,
    /// How many requests to Intuned may be under way at once.
    pub max_concurrency: usize,
    /// Where the database is, for a connection that listens to the other replicas.
    pub database_url: SecretString,
    /// Which workspace the database must belong to.
    pub workspace: Workspace,
    /// Which proxies sign-ins may go through.
    pub proxies: ProxyPolicy,
    /// What fingerprints of sign-ins are made with (setting `AUTH_SECRET`), so that an idempotency key is not
    /// used for two of them.
    pub secret: SecretString,
}

/// What became of the wish to connect.
#[derive(Clone, Debug)]
pub struct Connected {
    /// The operation that connects the account.
    pub operation: Operation,
    /// Whether it begins with this; else it was begun before, with the same idempotency key.
    pub is_new: bool,
}

/// The records that changes leave behind.
#[derive(Clone, Debug)]
pub struct Records {
    /// What was done and when.
    pub trail: Trail,
    /// Deliveries to whoever is told of connections.
    pub outbox: Outbox,
}

/// Operations that are driven here.
#[derive(Debug)]
pub struct Started {
    /// The operations.
    pub operations: Operations,
    /// Ends with an error when the database belongs to another workspace by now.
    pub replica: JoinHandle<Result<(), WorkspaceError>>,
}

/// Starts, answers, cancels and follows operations. Clones share everything.
#[derive(Clone, Debug)]
pub struct Operations {
    store: Store,
    bus: Bus,
    heart: Heart,
    exchange: Exchange,
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
    /// Takes over the operations in flight that nobody drives, and drives them, and those that come, for as long
    /// as the runtime lasts; then hands over.
    ///
    /// # Errors
    /// That the database belongs to another workspace, or its own, when operations in flight cannot be taken
    /// over.
    pub async fn start(
        config: OperationsConfig,
        runtime: &Runtime,
        intuned: IntunedClient,
        records: Records,
        metrics: OperationMetrics,
    ) -> Result<Started, ReplicaError> {
        let Runtime {
            database,
            clock,
            random,
            tasks,
            shutdown,
        } = runtime.clone();
        let Records { trail, outbox } = records;
        let store = Store {
            by_id: store::by_id(database.clone()),
            database,
            replica: random.uuid(),
            timeout: TimeDelta::from_std(config.timeout).unwrap_or(TimeDelta::MAX),
            clock,
            random,
            trail,
            outbox,
            metrics,
        };
        let bus = Bus::default();
        let heart = Heart::new(config.lease);
        let remover = Remover {
            store: store.clone(),
            intuned: intuned.clone(),
            noted: Arc::new(Notify::new()),
            flights: SingleFlight::default(),
        };
        let worker = Worker {
            store: store.clone(),
            bus: bus.clone(),
            intuned: intuned.clone(),
            remover: remover.clone(),
            heart: heart.clone(),
            pace: config.pace,
            starts: Arc::new(Semaphore::new(config.max_concurrency)),
            stopping: shutdown.clone(),
        };
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let replica = Replica {
            store: store.clone(),
            heart: heart.clone(),
            bus: bus.clone(),
            poller: commands.clone(),
            workspace: config.workspace,
        };
        let poller = Poller::new(worker, receiver, config.max_concurrency);
        tasks.spawn(drive(poller, replica.clone(), shutdown.clone()));
        let exchange = Exchange::new(store.clone(), bus.clone(), commands.clone());
        tasks.spawn(exchange.clone().run(config.database_url, shutdown.clone()));
        replica.join().await?;
        tasks.spawn(remover.clone().run(shutdown.clone()));
        let pruning = pruning::prune(store.clone(), config.retention, shutdown.clone());
        tasks.spawn(pruning);
        let replica = tasks.spawn(replica.run(shutdown.clone()));
        let operations = Self {
            store,
            bus,
            heart,
            exchange,
            intuned,
            remover,
            turns: Arc::new(Turns::new()),
            pauses: Arc::new(Pauses::new()),
            commands,
            proxies: Arc::new(config.proxies),
            fingerprints: Fingerprints::new(&config.secret),
            answer_within: config.pace.answer_patience / 2,
            tasks,
        };
        Ok(Started {
            operations,
            replica,
        })
    }

    /// Whether [`Operations::connect`] would accept these.
    ///
    /// # Errors
    /// [`OperationError::Input`].
    pub fn check_input(
        credentials: &Credentials,
        idempotency_key: Option<&str>,
    ) -> Result<(), OperationError> {
        input::check_credentials(credentials)?;
        input::check_idempotency_key(idempotency_key)
    }

    /// What a repeat with this key is answered; none when [`Operations::connect`] would begin anew.
    ///
    /// # Errors
    /// As those of [`Operations::connect`].
    pub async fn begun(
        &self,
        user_id: Uuid,
        credentials: &Credentials,
        idempotency_key: Option<&str>,
    ) -> Result<Option<Operation>, OperationError> {
        // In this order: what is in flight may be what the key has begun just now.
        let busy = self.store.in_flight(user_id).await?;
        let key = idempotency_key.map(|text| self.fingerprints.key(text, credentials));
        if let Some(key) = key
            && let Some(repeated) = self.store.by_idempotency_key(user_id, &key).await?
        {
            return Ok(Some(repeated));
        }
        match busy {
            Some(busy) => Err(OperationError::InProgress {
                operation_id: busy.id,
            }),
            None => Ok(None),
        }
    }

    /// Begins to connect or re-connect the user's account and returns at once.
    ///
    /// # Errors
    /// [`OperationError::Input`], [`OperationError::InProgress`], [`StoreError::KeyReused`], or the database's.
    pub async fn connect(
        &self,
        user_id: Uuid,
        mut credentials: Credentials,
        idempotency_key: Option<String>,
        origin: Origin,
    ) -> Result<Connected, OperationError> {
        Self::check_input(&credentials, idempotency_key.as_deref())?;
        // As it was given: which proxy stands in for none is the operator's choice.
        let key = idempotency_key.map(|text| self.fingerprints.key(&text, &credentials));
        credentials.proxy = self.proxies.choose(credentials.proxy)?;
        let this = self.clone();
        self.to_its_end(async move {
            crash::at(Point::BeforeRow);
            let _turn = this.turn(user_id).await?;
            match this.store.insert(user_id, key.as_ref(), &origin).await? {
                Inserted::Busy(operation_id) => Err(OperationError::InProgress { operation_id }),
                Inserted::Repeat(operation) => Ok(Connected {
                    operation,
                    is_new: false,
                }),
                Inserted::New(operation, event) => {
                    crash::at(Point::AfterRow);
                    counts::started(&this.store.metrics, &operation);
                    tracing::info!(operation.id = %operation.id, operation.kind = ?operation.kind, "an operation began");
                    this.bus.note_driven(&operation);
                    this.bus.publish(&operation, event);
                    let start = Box::new((operation.clone(), credentials, TraceContext::current()));
                    if this.tell(Command::Start(start)).await.is_ok() {
                        return Ok(Connected { operation, is_new: true });
                    }
                    // Shutting down, and nothing was sent.
                    tracing::warn!(operation.id = %operation.id, "an operation was not handed to Intuned any more");
                    let interrupted = Observation::StartFailed(Failure::interrupted());
                    let by_itself = Origin::default();
                    let ended = this.change(&operation, interrupted, &by_itself).await;
                    this.bus.forget_driven(operation.id);
                    let operation = ended.unwrap_or(operation);
                    Ok(Connected { operation, is_new: true })
                }
            }
        })
        .await
    }

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
        follow::follow(self.store.clone(), &self.bus, user_id, id, after).await
    }

    /// How many operations this replica drives, by status.
    pub fn driven(&self) -> impl Iterator<Item = (&'static str, usize)> + use<> {
        let driven = self.bus.driven_by_status();
        counts::IN_FLIGHT.into_iter().map(move |status| {
            let count = driven.get(&status).copied().unwrap_or_default();
            (counts::status(status), count)
        })
    }

    /// How long ago this replica last gave a sign of life; none before the first.
    pub fn heartbeat_age(&self) -> Option<Duration> {
        self.heart.age()
    }

    /// Whether the other replicas can take this one to be alive.
    pub fn is_alive(&self) -> bool {
        self.heart.age().is_some_and(|age| age < self.heart.lease())
    }

    /// Whether notifications of the other replicas are heard; true where there can be none.
    pub fn is_listening(&self) -> bool {
        self.exchange.is_listening()
    }

    /// Waits for the turn of one of the user's commands.
    async fn turn(&self, user_id: Uuid) -> Result<OwnedMutexGuard<()>, StoreError> {
        Ok(self.turns.take(user_id).await?)
    }

    /// Writes down what a user's command changes.
    async fn change(
        &self,
        operation: &Operation,
        observation: Observation,
        origin: &Origin,
    ) -> Result<Operation, OperationError> {
        let next = match observe(&operation.state, observation) {
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
            self.tell(Command::Changed(operation.id)).await.ok();
        }
        let (changed, event) = applied?;
        self.tell_followers(&changed, event).await;
        Ok(changed)
    }

    async fn tell_followers(&self, operation: &Operation, event: super::model::Event) {
        self.bus.publish(operation, event);
        counts::ended(&self.store.metrics, operation);
        if operation.state.has_ended() {
            self.remover.noted.notify_one();
        }
        // Without a poller (it is shutting down) the table has it, for whoever is next.
        self.tell(Command::Changed(operation.id)).await.ok();
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

/// Drives operations until `shutdown`, then hands them over.
async fn drive(poller: Poller, replica: Replica, shutdown: CancellationToken) {
    poller.run(shutdown).await;
    if let Err(error) = replica.leave().await {
        tracing::warn!(%error, "operations in flight were not handed over; others take them over when the lease runs out");
    }
}
