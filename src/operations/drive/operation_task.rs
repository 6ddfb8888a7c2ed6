//! The task of one operation: looks at it from time to time, and handles what the supervisor tells.

use std::{panic::AssertUnwindSafe, pin::pin, sync::Arc, time::Duration};

use futures_util::FutureExt;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use uuid::Uuid;

use super::{
    command::{Command, Step},
    inbox::Inbox,
    progress::Progress,
    steps::Steps,
};
use crate::operations::{model::Operation, state::Failure};

/// Pause before an operation is looked at again that a defect was met with.
const AFTER_PANIC: Duration = Duration::from_secs(5);

/// Drives one operation for as long as that is in flight here. There may be very many, so it is small: what
/// a step needs is boxed, and takes room only while it is done.
#[derive(Debug)]
pub(super) struct OperationTask {
    pub(super) progress: Progress,
    pub(super) steps: Arc<Steps>,
    /// Bounds how many look at once.
    pub(super) looks: Arc<Semaphore>,
    pub(super) inbox: Arc<Inbox>,
}

impl OperationTask {
    /// Drives the operation, beginning with this step, for as long as it is driven here. Answers its id.
    pub(super) async fn run(mut self: Box<Self>, mut step: Step) -> Uuid {
        loop {
            step = match step {
                Step::Wait(pause) => self.wait(pause).await,
                Step::Look(due) => self.look(due).await,
                Step::Start(_) | Step::Reload => self.take(step).await,
                Step::End => return self.progress.operation.id,
            }
        }
    }

    /// The first step for an operation that was taken over: a wait of varying length, so that a restart
    /// does not end in one burst of polls.
    pub(super) fn spread(&self) -> Step {
        let interval = self.steps.poll_schedule.poll_interval;
        let within = interval.max(Duration::from_secs(1));
        Step::Wait(self.steps.store.random.jitter(within / 2, 1.0))
    }

    /// Waits until the pause is over, or until something is told.
    async fn wait(&mut self, pause: Duration) -> Step {
        let due = Instant::now() + pause;
        while timeout_at(due, self.inbox.arrival()).await.is_ok() {
            if let Some(command) = self.inbox.take() {
                return self.handle(command);
            }
        }
        Step::Look(due)
    }

    /// Looks at the operation, once there is room for one more who does and unless something is told first.
    async fn look(&mut self, due: Instant) -> Step {
        let looks = Arc::clone(&self.looks);
        let mut turn = pin!(looks.acquire());
        let _turn = loop {
            tokio::select! {
                biased;
                turn = &mut turn => match turn {
                    Ok(turn) => break turn,
                    // The process shuts down.
                    Err(_closed) => return Step::End,
                },
                () = self.inbox.arrival() => {
                    if let Some(command) = self.inbox.take() {
                        return self.handle(command);
                    }
                }
            }
        };
        if let Some(command) = self.inbox.take() {
            return self.handle(command);
        }
        self.steps.store.metrics.looked(due.elapsed());
        self.take(Step::Look(due)).await
    }

    /// Handles what was told while nothing was under way.
    fn handle(&mut self, command: Command) -> Step {
        match command {
            Command::Reload(_) => Step::Reload,
            Command::Recover(operation) => self.recover(*operation),
            // A start is kept by its owner.
            Command::LeaseExpired if self.progress.operation.is_starting_here() => {
                self.progress.outdated = true;
                Step::Wait(self.steps.poll_schedule.poll_interval)
            }
            // A task is made by its start, and is never told of another.
            Command::LeaseExpired | Command::Stop | Command::Start(_) => Step::End,
        }
    }

    /// Takes a step. The next one depends on how it ends, and on what was told in the meantime.
    async fn take(&mut self, step: Step) -> Step {
        let next = self.try_to_take(step).await;
        match (self.inbox.take(), next) {
            (Some(Command::Recover(operation)), _) => self.recover(*operation),
            (Some(Command::Stop), _) | (_, Step::End) => Step::End,
            // What is in the table tells whether it may be driven on.
            (Some(Command::LeaseExpired | Command::Reload(_)), _) => Step::Reload,
            (Some(Command::Start(_)) | None, next) => next,
        }
    }

    /// A defect that one operation brings out must not take the others down with it.
    async fn try_to_take(&mut self, step: Step) -> Step {
        let taking = Box::pin(self.steps.take(&mut self.progress, step));
        let next = AssertUnwindSafe(taking).catch_unwind().await;
        next.unwrap_or_else(|_| {
            tracing::error!(operation.id = %self.progress.operation.id, "a panic while working on an operation");
            self.progress.outdated = true;
            Step::Wait(AFTER_PANIC)
        })
    }

    /// Goes on with the operation as it was taken over anew. This replica knows by its own monotonic clock when
    /// it is given up.
    fn recover(&mut self, operation: Operation) -> Step {
        let deadline = self.progress.deadline;
        let anew = self.steps.track(operation, Failure::interrupted);
        self.progress = Progress { deadline, ..anew };
        self.spread()
    }
}
