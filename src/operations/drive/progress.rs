//! An operation that is driven here, and what its task remembers of it between two looks.

use tokio::time::Instant;

use crate::operations::{
    follow::{LocalBus, Polls},
    model::Operation,
    state::{Failure, Observation, transition},
    store::Store,
};

/// The progress of one operation. Losing what is not in the operation costs nothing but time.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) operation: Operation,
    /// The count of polls, which others see.
    pub(super) polls: Polls,
    /// The instant at which it is given up.
    pub(super) deadline: Instant,
    /// The instant at which it last changed.
    pub(super) changed: Instant,
    /// Faults in a row.
    pub(super) faults: u32,
    /// Answers in a row that Intuned does not know the creation.
    pub(super) missing: u32,
    /// Looks for a session whose creation was never confirmed, and what their failing means.
    pub(super) looks: u32,
    pub(super) lost: fn() -> Failure,
    /// Answers in a row that the creation made a session that was not asked for.
    pub(super) astray: u32,
    /// An observation that the database could not take yet; seldom there is one.
    pub(super) unwritten: Option<Box<Observation>>,
    /// True when somebody else has written what could not be read yet.
    pub(super) outdated: bool,
}

impl Progress {
    /// Notes that the operation is driven here.
    pub(super) fn new(
        operation: Operation,
        lost: fn() -> Failure,
        store: &Store,
        bus: &LocalBus,
    ) -> Self {
        let now = Instant::now();
        // However far this machine's clock is behind that of whoever began it.
        let left = (operation.expires_at - store.clock.now()).min(store.timeout);
        Self {
            polls: bus.note_driven(&operation),
            operation,
            deadline: now + left.to_std().unwrap_or_default(),
            changed: now,
            faults: 0,
            missing: 0,
            looks: 0,
            lost,
            astray: 0,
            unwritten: None,
            outdated: false,
        }
    }

    /// Tells whether this observation would end the operation.
    pub(super) fn would_end(&self, observation: &Observation) -> bool {
        let next = transition(&self.operation.state, observation.clone());
        matches!(next, Ok(Some(next)) if next.has_ended())
    }
}
