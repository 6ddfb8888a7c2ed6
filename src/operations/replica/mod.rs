//! This replica among others: its signs of life, taking operations over, and what replicas tell each other.

mod bus;
mod listener;
mod membership;
mod take_over;
mod wanted;

pub(super) use self::{bus::ReplicaBus, membership::Replica};
pub use membership::ReplicaError;
