//! What those who run the gateway look at: metrics, and whether it can serve.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use graphql_server::{Problem, Readiness, metrics::MetricsServer};
use prometheus_client::registry::Registry;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{AppError, metrics::PREFIX};
use crate::{
    operations::Operations,
    platform::{
        Runtime,
        database::{self, Database, DatabaseMetrics},
        metrics::{register_build, register_process, sampled},
    },
};

/// A database that takes longer counts as one that does not answer.
const DATABASE_PATIENCE: Duration = Duration::from_secs(3);

/// Takes the address for metrics, if there is to be one.
pub(super) async fn bind(address: Option<SocketAddr>) -> Result<Option<MetricsServer>, AppError> {
    let Some(address) = address else {
        return Ok(None);
    };
    let server = MetricsServer::bind(address).await;
    server
        .map(Some)
        .map_err(|source| AppError::Metrics { address, source })
}

/// Shows metrics, and tries out the wait for a database connection, for as long as the runtime lasts.
pub(super) fn show(
    server: MetricsServer,
    registry: Registry,
    metrics: DatabaseMetrics,
    runtime: &Runtime,
) {
    let Runtime {
        database,
        tasks,
        shutdown,
        ..
    } = runtime.clone();
    tasks.spawn(probe(metrics, database, shutdown.clone()));
    tasks.spawn(server.run(registry, shutdown));
}

/// Tries out the wait for a database connection until `shutdown`.
async fn probe(metrics: DatabaseMetrics, database: Database, shutdown: CancellationToken) {
    shutdown.run_until_cancelled(metrics.probe(database)).await;
}

/// `registry` with what is read when Prometheus asks.
pub(super) fn complete(
    mut registry: Registry,
    runtime: &Runtime,
    operations: &Operations,
) -> Registry {
    register_process(&mut registry, runtime.clock.now());
    let gateway = registry.sub_registry_with_prefix(PREFIX);
    register_build(gateway);
    database::watch_pool(gateway, runtime.database.clone());
    let driving = operations.clone();
    gateway.register_collector(sampled(
        "operations",
        "Operations in flight that this replica drives, by status",
        Some("status"),
        move || {
            let count = |count| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
            let driven = driving.driven();
            driven.map(move |(status, driven)| (status, count(driven)))
        },
    ));
    let leasing = operations.clone();
    gateway.register_collector(sampled(
        "heartbeat_age_seconds",
        "Time since this replica last gave a sign of life that the database took",
        None,
        move || leasing.lease_age().map(|age| ("", age.as_secs_f64())),
    ));
    let listening = operations.clone();
    gateway.register_collector(sampled(
        "bus_listening",
        "Whether notifications of the other replicas are heard: 1 or 0; always 1 with SQLite",
        None,
        move || [("", f64::from(u8::from(listening.is_listening())))],
    ));
    registry
}

/// Looks whether the gateway can serve.
pub(super) fn readiness(database: Database, operations: Operations) -> Readiness {
    Arc::new(move || {
        let (database, operations) = (database.clone(), operations.clone());
        Box::pin(async move {
            let mut problems: Vec<_> = tables(&database).await.into_iter().collect();
            if !operations.is_alive() {
                problems.push(Problem {
                    part: "replica",
                    problem: "It could not tell the others that it is alive: they take over what it was doing.",
                });
            }
            if !operations.is_listening() {
                problems.push(Problem {
                    part: "listener",
                    problem: "There is no connection for notifications of the other replicas.",
                });
            }
            problems
        })
    })
}

async fn tables(database: &Database) -> Option<Problem> {
    let look = timeout(DATABASE_PATIENCE, database::standing(database));
    match look.await {
        Ok(Ok(standing)) if standing.is_read_only => Some(READ_ONLY),
        Ok(Ok(standing)) if standing.is_migrated => None,
        Ok(Ok(_)) => Some(Problem {
            part: "migrations",
            problem: "The database's tables are older than this build.",
        }),
        // It answers; nobody but this look needs that table.
        Ok(Err(error)) if database::is_locked(&error) => {
            tracing::warn!(%error, "the list of migrations is locked");
            None
        }
        Ok(Err(error)) => {
            tracing::warn!(%error, "the database does not answer");
            Some(NO_DATABASE)
        }
        Err(_) => {
            tracing::warn!("the database does not answer in time");
            Some(NO_DATABASE)
        }
    }
}

const READ_ONLY: Problem = Problem {
    part: "database",
    problem: "The database takes no writes: it is a standby, or was made read-only.",
};
const NO_DATABASE: Problem = Problem {
    part: "database",
    problem: "The database does not answer.",
};
