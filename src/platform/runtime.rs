//! The runtime of one gateway: its database, its clock, its randomness, and the tasks that end with it.

use std::sync::Arc;

use ambient::{Clock, Random};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::database::Database;

/// All that a part needs to run. Clones share everything.
#[derive(Clone, Debug)]
pub struct Runtime {
    /// The database.
    pub database: Database,
    /// The time of day, as all replicas have it.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Random,
    /// Tasks that must end before the gateway has stopped.
    pub tasks: TaskTracker,
    /// Cancelled when the gateway stops.
    pub shutdown: CancellationToken,
}
