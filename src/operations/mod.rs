//! Operations: durable attempts to connect an account, driven at Intuned and followed live.
//!
//! # How the machine works
//!
//! **An operation is a row.** Intuned can only be polled, and a sign-in takes minutes. So each attempt is a row
//! in a table, and all else in this module reads or writes it. What is in memory makes it quick, not right.
//!
//! **A state machine decides.** [`state::transition`] takes a state and an observation, and gives the next state,
//! or none. It is a pure function: no clock, no database, no Intuned. The first end stands, whatever is observed
//! later. Words for people are in `failure` and `wording`.
//!
//! **One change is one transaction.** `store` writes the new state, its numbered event, the line in the audit
//! trail, and at an end the connection, its webhook, or the removal of what was left behind. All of it stands, or
//! none. A write names the sequence number that it read: of two who write at once, one changes nothing.
//!
//! **An operation has one owner.** The owner is the replica that drives it, under an epoch that grows with each
//! change of owner. Writes of the driver name both ([`Ownership`]). So a driver that was thought dead, and wakes
//! up, changes nothing. Users' commands come in on any replica, and are held by the sequence number alone.
//!
//! **An owner holds a lease.** Each replica keeps one row alive with a sign of life. Its lease holds for a time
//! after each sign that the database took. While it is held, nobody else takes over. Once it has expired, the
//! replica lets go of everything, except starts that it has not sent: nobody else has their credentials.
//!
//! **A task drives each operation.** `drive` has one supervisor in each process, and a small task for each
//! operation. The task waits, looks, applies what it saw, and waits again. Looks are bounded, and grow rarer as
//! a sign-in takes long. Credentials live in the task until they are handed to Intuned, once. The supervisor puts
//! commands into the task's inbox: reload, recover, let go, stop.
//!
//! **The table wakes nobody, so buses do.** `follow` has the bus within a process: it keeps the latest event of
//! each operation that somebody follows. `replica` has the bus between processes: a change is announced with its
//! commit, by id and number. Who hears of it reads the table. Both buses only hint. A follower compares numbers,
//! and reads a gap from the table; each replica also looks by itself. A lost hint costs time, not an event.
//!
//! **Operations change hands.** A replica that leaves releases what it drives. Of one that dies, the lease
//! expires, and the others look for such operations each second. They take some at a time, with rows locked by
//! others skipped, and the epoch grows.
//!
//! **A crash may come anywhere.** An operation that was taken over is driven by what its row says. With Intuned's
//! id in it, polling goes on. Without, nobody knows whether the start was sent, and it is never sent twice: a new
//! session tells by itself whether it came to be, and a renewal is given up. An answer is marked before it is
//! sent, for the same reason. A commit without an answer is recognised by the change's own id.
//!
//! **Users come in by `service`.** A command runs to its end though its client has gone, and one of a user's
//! commands at a time has a connection to the database.
//!
//! Dependencies point down: `service`, `replica`, `drive`, `follow`, `store`, [`state`].
//! `docs/operations.md` tells the same story from outside.

mod begin;
mod drive;
mod error;
mod failure;
mod follow;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod input;
mod message;
mod metric_labels;
mod metrics;
mod model;
mod proxy;
mod replica;
mod service;
pub mod state;
mod store;
mod verdict;
mod wording;

pub use begin::{AttemptError, Attempts};
pub use drive::PollSchedule;
pub use error::OperationError;
pub use follow::{Follower, Renderings, Update};
pub use metrics::OperationMetrics;
pub use model::{Credentials, Event, EventKind, Operation, Ownership};
pub use proxy::ProxyPolicy;
pub use replica::ReplicaError;
pub use service::{Answer, Connected, Operations, OperationsConfig, Records, Started};
pub use store::{InconsistentRow, StoreError};
