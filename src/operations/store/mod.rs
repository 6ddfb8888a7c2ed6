//! Operations in the database: their rows, and the one transaction of each change.

mod announcement;
mod by_id;
mod change;
mod disconnection;
mod error;
mod fingerprint;
mod insertion;
mod pruning;
mod retry;
mod rows;
mod table;

pub(super) use self::{
    announcement::{CHANNEL, notify},
    change::Guard,
    disconnection::Disconnection,
    fingerprint::Fingerprints,
    insertion::Inserted,
    pruning::prune,
    retry::retry,
    table::Store,
};
pub use error::{InconsistentRow, StoreError};
