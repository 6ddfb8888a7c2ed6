//! Operations: durable attempts to connect an account, driven at Intuned and followed live.
//!
//! [`state`] decides what happens, [`store`](self) writes it down, the poller drives, the bus wakes
//! followers up. `docs/operations.md` tells the whole story.

mod bus;
mod connecting;
mod counts;
mod driver;
mod error;
mod exchange;
mod fingerprint;
mod follow;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod inbox;
mod input;
mod insertion;
mod listener;
mod metrics;
mod model;
mod note;
mod pace;
mod pauses;
mod poller;
mod proxy;
mod pruning;
mod removals;
mod remover;
mod renderings;
mod replica;
mod rows;
mod service;
pub mod state;
mod store;
mod turns;
mod verdict;
mod worker;

pub use error::OperationError;
pub use follow::{Follower, Update};
pub use metrics::OperationMetrics;
pub use model::{Credentials, Event, EventKind, Lease, Operation};
pub use pace::Pace;
pub use proxy::ProxyPolicy;
pub use removals::is_staying;
pub use renderings::Renderings;
pub use replica::ReplicaError;
pub use rows::InconsistentRow;
pub use service::{Answer, Connected, Operations, OperationsConfig, Records, Started};
pub use store::StoreError;
