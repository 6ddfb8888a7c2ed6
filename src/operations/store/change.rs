//! A change of an operation: what it becomes, and what must still hold for that.

use uuid::Uuid;

use crate::{
    audit::Origin,
    operations::{model::Operation, state::State},
};

/// The guard of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::operations) enum Guard<'a> {
    /// The replica that drives the operation: sequence, owner and epoch must be as they were read.
    Owner,
    /// A user's command, which may come in on any replica, or what holds whoever drives the operation: the
    /// sequence must be as it was read.
    Sequence(&'a Origin),
}

/// A change that is to be written.
#[derive(Clone, Debug)]
pub(super) struct Change<'a> {
    /// The operation as it was read.
    pub(super) current: &'a Operation,
    /// Its next state.
    pub(super) state: State,
    pub(super) guard: Guard<'a>,
    /// Stands in the event's row, so that the change is known again after a lost answer.
    pub(super) id: Uuid,
}
