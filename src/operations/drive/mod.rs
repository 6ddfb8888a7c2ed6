//! Driving operations: a supervisor with a small task for each, while the lease holds.

mod command;
mod inbox;
mod lease;
mod operation_task;
mod poll_schedule;
mod progress;
mod steps;
mod supervisor;

pub(super) use self::{
    command::{Command, Start},
    lease::Lease,
    steps::Steps,
    supervisor::Supervisor,
};
pub use poll_schedule::PollSchedule;
