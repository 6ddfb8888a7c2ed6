//! The configuration of operations.

use std::time::Duration;

use secrecy::SecretString;

use crate::{
    operations::{drive::PollSchedule, proxy::ProxyPolicy},
    platform::database::Workspace,
};

/// The configuration of operations.
#[derive(Clone, Debug)]
pub struct OperationsConfig {
    /// The waits of driving them.
    pub poll_schedule: PollSchedule,
    /// The longest time that an operation may take (setting `OPERATION_TIMEOUT`).
    pub timeout: Duration,
    /// A replica that has not been heard of for so long is taken to be dead (setting `LEASE`).
    pub lease: Duration,
    /// The time for which operations that have ended are kept (setting `OPERATION_RETENTION`); longer than an
    /// idempotency key counts.
    pub retention: Duration,
    /// The most requests to Intuned that may be under way at once.
    pub max_concurrency: usize,
    /// The database's address, for a connection that listens to the other replicas.
    pub database_url: SecretString,
    /// The workspace that the database must belong to.
    pub workspace: Workspace,
    /// The proxies that sign-ins may go through.
    pub proxies: ProxyPolicy,
    /// The secret that fingerprints of sign-ins are made with (setting `AUTH_SECRET`), so that an idempotency key is not
    /// used for two of them.
    pub secret: SecretString,
}
