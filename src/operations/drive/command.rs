//! The commands by which operations are driven.

use std::time::Duration;

use tokio::time::Instant;
use trace_context::TraceContext;
use uuid::Uuid;

use crate::operations::model::{Credentials, Operation};

/// An order to the supervisor, which passes on to a task what that must know.
#[derive(Debug)]
pub(in crate::operations) enum Command {
    /// Start a new operation, and drive it from then on.
    Start(Box<Start>),
    /// Drive an operation that was taken over, as it is now.
    Recover(Box<Operation>),
    /// Read an operation again: a user's command has changed it.
    Reload(Uuid),
    /// Let go of all operations: the lease has expired, and somebody else may drive them.
    LeaseExpired,
    /// Stop: the process shuts down.
    Stop,
}

/// A new operation with what Intuned is to be handed.
#[derive(Debug)]
pub(in crate::operations) struct Start {
    /// The operation.
    pub(in crate::operations) operation: Operation,
    /// The user's sign-in.
    pub(in crate::operations) credentials: Credentials,
    /// The request that began it, which it belongs to.
    pub(in crate::operations) trace: TraceContext,
}

/// The next thing to do for an operation.
#[derive(Debug)]
pub(super) enum Step {
    /// Hand these to Intuned.
    Start(Box<Credentials>),
    /// Look at it after this pause.
    Wait(Duration),
    /// Ask Intuned how far it is; that was due then.
    Look(Instant),
    /// Read what somebody else has written.
    Reload,
    /// Drive it no more.
    End,
}
