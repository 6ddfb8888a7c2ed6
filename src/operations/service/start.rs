//! The start of all that works on operations, in the background.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

use super::{Operations, config::OperationsConfig, pauses::Pauses, turns::Turns};
use crate::{
    audit::Trail,
    connections::removal::Remover,
    operations::{
        drive::{Lease, Steps, Supervisor},
        follow::LocalBus,
        metrics::OperationMetrics,
        replica::{Replica, ReplicaBus, ReplicaError},
        store::{Fingerprints, Store, prune},
    },
    platform::{Runtime, database::WorkspaceError},
    webhooks::Outbox,
};
use intuned_client::IntunedClient;

/// The most commands that wait for the supervisor.
const COMMANDS: usize = 1024;

/// The records that changes leave behind.
#[derive(Clone, Debug)]
pub struct Records {
    /// The audit trail.
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

impl Operations {
    /// Takes over the operations in flight that nobody drives, and drives them, and those that come, for as long
    /// as the runtime lasts; then hands over.
    ///
    /// # Errors
    /// [`ReplicaError`]: the database belongs to another workspace, or failed as operations in flight were to be
    /// taken over.
    pub async fn start(
        config: OperationsConfig,
        runtime: &Runtime,
        intuned: IntunedClient,
        records: Records,
        metrics: OperationMetrics,
    ) -> Result<Started, ReplicaError> {
        let Runtime {
            tasks, shutdown, ..
        } = runtime;
        let steps = steps(&config, runtime, intuned, records, metrics);
        let (store, bus) = (&steps.store, &steps.bus);
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let replica_bus = ReplicaBus::new(store.clone(), bus.clone(), commands.clone());
        let replica = Replica {
            store: store.clone(),
            lease: steps.lease.clone(),
            bus: bus.clone(),
            supervisor: commands.clone(),
            workspace: config.workspace,
        };
        let operations = Self {
            store: store.clone(),
            bus: bus.clone(),
            lease: steps.lease.clone(),
            replica_bus,
            intuned: steps.intuned.clone(),
            remover: steps.remover.clone(),
            turns: Arc::new(Turns::new()),
            pauses: Arc::new(Pauses::new()),
            commands,
            proxies: Arc::new(config.proxies),
            fingerprints: Fingerprints::new(&config.secret),
            answer_within: config.poll_schedule.answer_patience / 2,
            tasks: tasks.clone(),
        };
        let supervisor = Supervisor::new(steps, receiver, config.max_concurrency);
        tasks.spawn(drive(supervisor, replica.clone(), shutdown.clone()));
        let hearing = operations.replica_bus.clone();
        tasks.spawn(hearing.run(config.database_url, shutdown.clone()));
        replica.join().await?;
        tasks.spawn(operations.remover.clone().run(shutdown.clone()));
        let store = operations.store.clone();
        tasks.spawn(prune(store, config.retention, shutdown.clone()));
        Ok(Started {
            operations,
            replica: tasks.spawn(replica.run(shutdown.clone())),
        })
    }
}

/// The steps of this replica's operations, over a store and a lease of its own.
fn steps(
    config: &OperationsConfig,
    runtime: &Runtime,
    intuned: IntunedClient,
    records: Records,
    metrics: OperationMetrics,
) -> Steps {
    let Records { trail, outbox } = records;
    let timeout = TimeDelta::from_std(config.timeout).unwrap_or(TimeDelta::MAX);
    Steps {
        remover: Remover::new(runtime, intuned.clone(), trail.clone(), outbox.clone()),
        store: Store::new(runtime, timeout, trail, outbox, metrics),
        bus: LocalBus::default(),
        intuned,
        lease: Lease::new(config.lease),
        poll_schedule: config.poll_schedule,
        starts: Arc::new(Semaphore::new(config.max_concurrency)),
        stopping: runtime.shutdown.clone(),
    }
}

/// Drives operations until `shutdown`, then hands them over.
async fn drive(supervisor: Supervisor, replica: Replica, shutdown: CancellationToken) {
    supervisor.run(shutdown).await;
    if let Err(error) = replica.leave().await {
        tracing::warn!(%error, "operations in flight were not handed over; others take them over when the lease runs out");
    }
}
