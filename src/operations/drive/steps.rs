//! The steps of one operation: start it, look at it, write down what happened.

mod settling;
mod starting;

use std::{borrow::Cow, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    command::Step,
    lease::Lease,
    poll_schedule::{FORGOTTEN_POLLS, PollSchedule},
    progress::Progress,
};
use crate::{
    connections::removal::Remover,
    operations::{
        follow::LocalBus,
        metric_labels,
        model::{Event, EventKind, Operation},
        state::{Failure, Observation, State, transition},
        store::{Guard, Store, StoreError},
        wording,
    },
    platform::crash::{self, Point},
};
use intuned_client::{Backoff, CreateResult, IntunedClient, IntunedError};

const JITTER: f64 = 0.1;

/// The steps of operations, with what all operations of a replica share.
#[derive(Debug)]
pub(in crate::operations) struct Steps {
    pub(in crate::operations) store: Store,
    pub(in crate::operations) bus: LocalBus,
    pub(in crate::operations) intuned: IntunedClient,
    pub(in crate::operations) remover: Remover,
    pub(in crate::operations) lease: Lease,
    pub(in crate::operations) poll_schedule: PollSchedule,
    /// Bounds how many starts are under way at once.
    pub(in crate::operations) starts: Arc<Semaphore>,
    /// Once this is cancelled, no start is sent any more.
    pub(in crate::operations) stopping: CancellationToken,
}

impl Steps {
    /// Begins to keep track of an operation that is driven here; `lost` tells what its failing start means.
    pub(super) fn track(&self, operation: Operation, lost: fn() -> Failure) -> Progress {
        Progress::new(operation, lost, &self.store, &self.bus)
    }

    /// Takes one step for one operation. Answers the next one.
    pub(super) async fn take(&self, progress: &mut Progress, step: Step) -> Step {
        // Somebody else may drive it by now, and finds all of it in the table, but for credentials.
        if !matches!(step, Step::Start(_)) && !self.lease.is_held() {
            self.bus.forget_driven(progress.operation.id);
            return Step::End;
        }
        // What a look seldom comes to is boxed, here and below: ten thousand looks a second would find room
        // for it, and move it about.
        match step {
            Step::Start(credentials) => Box::pin(self.start(progress, *credentials)).await,
            Step::Look(_) => self.look(progress).await,
            Step::Reload => Box::pin(self.reload(progress)).await,
            step @ (Step::Wait(_) | Step::End) => step,
        }
    }

    /// Looks at the operation and writes down what changed.
    async fn look(&self, progress: &mut Progress) -> Step {
        if progress.outdated {
            return Box::pin(self.reload(progress)).await;
        }
        let is_late = Instant::now() >= progress.deadline;
        let unwritten = progress.unwritten.take();
        if let Some(observation) =
            unwritten.filter(|observation| !is_late || progress.would_end(observation))
        {
            return self.apply(progress, *observation).await;
        }
        if is_late {
            return self.apply(progress, Observation::TimedOut).await;
        }
        if !self.pause().is_zero() {
            return self.reschedule(progress, None);
        }
        progress.operation.polls += 1;
        progress.polls.set(progress.operation.polls);
        let upstream_id = progress
            .operation
            .state
            .watch()
            .and_then(|watch| watch.upstream_id.clone());
        match upstream_id {
            Some(id) => self.poll(progress, &id).await,
            None => Box::pin(self.ask_for_session(progress)).await,
        }
    }

    async fn poll(&self, progress: &mut Progress, upstream_id: &str) -> Step {
        let polling = self.intuned.create_result(upstream_id);
        let polled = crash::during(Point::Polling, polling).await;
        self.store
            .metrics
            .polled(metric_labels::poll_result(&polled));
        match polled {
            Ok(result) => {
                if let CreateResult::Done { .. } = result {
                    crash::at(Point::AfterDoneRead);
                }
                progress.faults = 0;
                progress.missing = 0;
                if is_astray(&progress.operation, &result) {
                    return Box::pin(self.went_astray(progress)).await;
                }
                progress.astray = 0;
                let observation = self.interpret(progress, result);
                self.apply(progress, observation).await
            }
            Err(IntunedError::NotFound) => {
                progress.missing += 1;
                if progress.missing >= FORGOTTEN_POLLS {
                    return self.apply(progress, Observation::Forgotten).await;
                }
                self.report(progress, wording::NOT_FOUND.into());
                self.reschedule(progress, None)
            }
            Err(error) => self.fault(progress, &error),
        }
    }

    /// Intuned may go on showing a request that was answered; when it does so for long, the answer
    /// counts as lost.
    fn interpret(&self, progress: &Progress, result: CreateResult) -> Observation {
        let answered = progress
            .operation
            .state
            .watch()
            .and_then(|watch| watch.answered.as_ref());
        match result {
            CreateResult::RequestedMoreInfo(request)
                if answered == Some(&request.id)
                    && progress.changed.elapsed() >= self.poll_schedule.answer_patience =>
            {
                Observation::AnswerUndelivered(request)
            }
            CreateResult::Unknown { status } => {
                tracing::warn!(operation.id = %progress.operation.id, %status, "Intuned answered with a status that is not known");
                Observation::Polled(CreateResult::Unknown { status })
            }
            result => Observation::Polled(result),
        }
    }

    /// Intuned could not be asked: whatever the reason, that says nothing about the sign-in.
    fn fault(&self, progress: &mut Progress, error: &IntunedError) -> Step {
        let operation_id = progress.operation.id;
        if matches!(error, IntunedError::Unauthorized | IntunedError::Forbidden) {
            tracing::error!(operation.id = %operation_id, %error, "sign-ins wait: Intuned refuses the gateway; check INTUNED_API_KEY, INTUNED_WORKSPACE_ID and INTUNED_PROJECT_NAME");
        } else {
            tracing::debug!(operation.id = %operation_id, %error, "a poll failed");
        }
        progress.faults = progress.faults.saturating_add(1);
        let message = match error {
            IntunedError::Unreadable { .. } | IntunedError::TooLong => wording::UNREADABLE,
            _ => wording::NOT_ASKED,
        };
        self.report(progress, message.into());
        self.reschedule(progress, error.retry_after())
    }

    /// Writes down what the observation changes, and says when to look again.
    async fn apply(&self, progress: &mut Progress, observation: Observation) -> Step {
        let next = match transition(&progress.operation.state, observation.clone()) {
            Ok(Some(next)) => next,
            Ok(None) => {
                self.report(progress, progress.operation.state.message());
                return self.reschedule(progress, None);
            }
            Err(error) => {
                tracing::error!(operation.id = %progress.operation.id, %error, "dropped an observation");
                return self.reschedule(progress, None);
            }
        };
        let applying = self.store.apply(&progress.operation, next, Guard::Owner);
        match Box::pin(applying).await {
            Ok((operation, event)) => self.changed(progress, operation, event),
            Err(StoreError::Superseded) => Box::pin(self.reload(progress)).await,
            Err(StoreError::IdTaken) => {
                tracing::error!(operation.id = %progress.operation.id, "the session of a sign-in stands behind somebody else's connection; the sign-in fails");
                Box::pin(self.apply(progress, Observation::Astray)).await
            }
            Err(error) => {
                tracing::error!(operation.id = %progress.operation.id, %error, "a change could not be written; trying again");
                progress.faults = progress.faults.saturating_add(1);
                progress.unwritten = Some(Box::new(observation));
                self.reschedule(progress, None)
            }
        }
    }

    /// Tells of a change that was written down, and says when to look again.
    fn changed(&self, progress: &mut Progress, operation: Operation, event: Event) -> Step {
        log_change(&operation);
        if operation.state.has_ended() {
            metric_labels::ended(&self.store.metrics, &operation);
            self.bus.forget_driven(operation.id);
            self.bus.publish(&operation, event);
            self.remover.wake();
            return Step::End;
        }
        self.bus.publish(&operation, event);
        if operation.ownership != progress.operation.ownership {
            // It was written for whoever drives it now.
            self.bus.forget_driven(operation.id);
            return Step::End;
        }
        progress.polls = self.bus.note_driven(&operation);
        progress.operation = operation;
        progress.changed = Instant::now();
        progress.looks = 0;
        self.reschedule(progress, None)
    }

    /// Goes on with what the table says: somebody else has written.
    async fn reload(&self, progress: &mut Progress) -> Step {
        match self.store.get(progress.operation.id).await {
            Ok(Some(operation)) => {
                let operation = self.bus.with_polls(operation);
                if operation.sequence != progress.operation.sequence {
                    self.bus.wake(&operation);
                    progress.changed = Instant::now();
                }
                if operation.state.has_ended()
                    || operation.ownership != progress.operation.ownership
                {
                    self.bus.forget_driven(operation.id);
                    return Step::End;
                }
                progress.polls = self.bus.note_driven(&operation);
                progress.operation = operation;
                progress.outdated = false;
                self.reschedule(progress, None)
            }
            Ok(None) => {
                self.bus.forget_driven(progress.operation.id);
                Step::End
            }
            Err(error) => {
                tracing::error!(operation.id = %progress.operation.id, %error, "an operation could not be read; trying again");
                progress.outdated = true;
                progress.faults = progress.faults.saturating_add(1);
                self.reschedule(progress, None)
            }
        }
    }

    fn report(&self, progress: &Progress, message: Cow<'static, str>) {
        let operation = &progress.operation;
        if self.bus.is_followed(operation.id) {
            let event = operation.event(EventKind::Progress, message, self.store.clock.now());
            self.bus.publish(operation, event);
        }
    }

    /// Looks again when the schedule says so, or Intuned.
    fn reschedule(&self, progress: &Progress, retry_after: Option<Duration>) -> Step {
        Step::Wait(self.next_pause(progress, retry_after))
    }

    /// Looks again as scheduled, but not before this pause is over.
    fn reschedule_after(&self, progress: &Progress, pause: Duration) -> Step {
        Step::Wait(self.next_pause(progress, None).max(pause))
    }

    fn next_pause(&self, progress: &Progress, retry_after: Option<Duration>) -> Duration {
        let now = Instant::now();
        let state = &progress.operation.state;
        let mut pause = match state {
            State::Starting => self.poll_schedule.settling_pause(progress.looks),
            _ => self.poll_schedule.pause(state, now - progress.changed),
        };
        pause = self.store.random.jitter(pause, JITTER);
        if progress.faults > 0 {
            pause = pause.max(self.backoff(progress.faults - 1, retry_after));
        }
        pause = pause.max(self.pause());
        let left = progress.deadline.saturating_duration_since(now);
        // Past the deadline only the database is left to wait for.
        let waits_for_database = progress.unwritten.is_some() || progress.outdated;
        if !(left.is_zero() && waits_for_database) {
            pause = pause.min(left);
        }
        pause
    }

    /// The time for which Intuned asked to be left alone.
    fn pause(&self) -> Duration {
        self.intuned.held_until().map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    fn backoff(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        Backoff::new().delay(attempt, retry_after, &self.store.random)
    }
}

/// Tells whether a session was made that nobody asked for: an answer to somebody else's question, perhaps. It
/// says nothing of this operation.
fn is_astray(operation: &Operation, result: &CreateResult) -> bool {
    matches!(result, CreateResult::Done { auth_session_id } if *auth_session_id != operation.auth_session_id)
}

fn log_change(operation: &Operation) {
    let failure = operation.state.failure();
    tracing::info!(
        operation.id = %operation.id,
        operation.status = ?operation.state.status(),
        operation.sequence,
        failure.code = failure.map(|failure| tracing::field::debug(failure.code)),
        failure.reference = failure.and_then(|failure| failure.reference.as_deref()),
        "an operation changed"
    );
}
