//! What is done for one operation at a time: start it, look at it, write down what happened.

mod settling;
mod starting;

use std::{borrow::Cow, sync::Arc, time::Duration};

use tokio::{sync::Semaphore, time::Instant};
use tokio_util::sync::CancellationToken;

use settling::is_astray;

use super::{
    bus::{Bus, Polls},
    counts,
    model::{Credentials, Event, EventKind, Operation},
    pace::{self, FORGOTTEN_POLLS, Pace},
    remover::Remover,
    replica::Heart,
    state::{Failure, Observation, State, observe},
    store::{Guard, Store, StoreError},
};
use crate::platform::crash::{self, Point};
use intuned_client::{Backoff, CreateResult, IntunedClient, IntunedError};

const JITTER: f64 = 0.1;

/// An operation that this replica drives, and what is remembered of it between two looks. Losing
/// the latter in a crash costs nothing but time.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) operation: Operation,
    /// Where polls are counted for others to see.
    polls: Polls,
    /// When it is given up.
    deadline: Instant,
    /// When it last changed.
    changed: Instant,
    /// Faults in a row.
    faults: u32,
    /// Answers in a row that Intuned does not know the creation.
    missing: u32,
    /// Looks for a session whose creation was never confirmed, and what their failing means.
    looks: u32,
    lost: fn() -> Failure,
    /// Answers in a row that the creation made a session that was not asked for.
    astray: u32,
    /// An observation that the database could not take yet; seldom there is one.
    unwritten: Option<Box<Observation>>,
    /// Whether somebody else has written what could not be read yet.
    pub(super) outdated: bool,
}

impl Tracked {
    /// Notes that the operation is driven here.
    pub(super) fn new(operation: Operation, lost: fn() -> Failure, worker: &Worker) -> Self {
        let now = Instant::now();
        let store = &worker.store;
        // However far this machine's clock is behind that of whoever began it.
        let left = (operation.expires_at - store.clock.now()).min(store.timeout);
        Self {
            polls: worker.bus.note_driven(&operation),
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

    /// The same as it was taken over anew by this replica, which knows by its own monotonic clock when it is
    /// given up.
    pub(super) fn anew(&self, operation: Operation, worker: &Worker) -> Self {
        Self {
            deadline: self.deadline,
            ..Self::new(operation, Failure::interrupted, worker)
        }
    }
}

impl Tracked {
    fn would_end(&self, observation: &Observation) -> bool {
        let next = observe(&self.operation.state, observation.clone());
        matches!(next, Ok(Some(next)) if next.has_ended())
    }
}

/// What is to be done for an operation.
#[derive(Debug)]
pub(super) enum Job {
    /// Hand these to Intuned.
    Start(Box<Credentials>),
    /// Ask Intuned how far it is.
    Look,
    /// Read what somebody else has written.
    Reload,
}

/// After which pause an operation is to be looked at again, if at all.
pub(super) type Next = Option<Duration>;

/// What all operations of a replica share.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) store: Store,
    pub(super) bus: Bus,
    pub(super) intuned: IntunedClient,
    pub(super) remover: Remover,
    pub(super) heart: Heart,
    pub(super) pace: Pace,
    /// Bounds how many starts are under way at once.
    pub(super) starts: Arc<Semaphore>,
    /// Once this is cancelled, no start is sent any more.
    pub(super) stopping: CancellationToken,
}

impl Worker {
    /// Does one job for one operation.
    pub(super) async fn work(&self, tracked: &mut Tracked, job: Job) -> Next {
        // Somebody else may drive it by now, and finds all of it in the table, but for credentials.
        if !matches!(job, Job::Start(_)) && !self.heart.beats() {
            self.bus.forget_driven(tracked.operation.id);
            return None;
        }
        // What a look seldom comes to is boxed, here and below: ten thousand looks a second would find room
        // for it, and move it about.
        match job {
            Job::Start(credentials) => Box::pin(self.start(tracked, *credentials)).await,
            Job::Look => self.look(tracked).await,
            Job::Reload => Box::pin(self.reload(tracked)).await,
        }
    }

    /// Looks at the operation and writes down what changed.
    async fn look(&self, tracked: &mut Tracked) -> Next {
        if tracked.outdated {
            return Box::pin(self.reload(tracked)).await;
        }
        let is_late = Instant::now() >= tracked.deadline;
        let unwritten = tracked.unwritten.take();
        if let Some(observation) =
            unwritten.filter(|observation| !is_late || tracked.would_end(observation))
        {
            return self.take(tracked, *observation).await;
        }
        if is_late {
            return self.take(tracked, Observation::TimedOut).await;
        }
        if !self.hold().is_zero() {
            return self.again(tracked, None);
        }
        tracked.operation.polls += 1;
        tracked.polls.set(tracked.operation.polls);
        let upstream_id = tracked
            .operation
            .state
            .watch()
            .and_then(|watch| watch.upstream_id.clone());
        match upstream_id {
            Some(id) => self.poll(tracked, &id).await,
            None => Box::pin(self.ask_for_session(tracked)).await,
        }
    }

    async fn poll(&self, tracked: &mut Tracked, upstream_id: &str) -> Next {
        let polling = self.intuned.create_result(upstream_id);
        let polled = crash::during(Point::Polling, polling).await;
        self.store.metrics.polled(counts::poll_result(&polled));
        match polled {
            Ok(result) => {
                if let CreateResult::Done { .. } = result {
                    crash::at(Point::AfterDoneRead);
                }
                tracked.faults = 0;
                tracked.missing = 0;
                if is_astray(&tracked.operation, &result) {
                    return Box::pin(self.went_astray(tracked)).await;
                }
                tracked.astray = 0;
                let observation = self.heed(tracked, result);
                self.take(tracked, observation).await
            }
            Err(IntunedError::NotFound) => {
                tracked.missing += 1;
                if tracked.missing >= FORGOTTEN_POLLS {
                    return self.take(tracked, Observation::Forgotten).await;
                }
                self.progress(
                    tracked,
                    "Intuned does not find the sign-in; looking again.".into(),
                );
                self.again(tracked, None)
            }
            Err(error) => self.fault(tracked, &error),
        }
    }

    /// Intuned may go on showing a request that was answered; when it does so for long, the answer
    /// counts as lost.
    fn heed(&self, tracked: &Tracked, result: CreateResult) -> Observation {
        let answered = tracked
            .operation
            .state
            .watch()
            .and_then(|watch| watch.answered.as_ref());
        match result {
            CreateResult::RequestedMoreInfo(request)
                if answered == Some(&request.id)
                    && tracked.changed.elapsed() >= self.pace.answer_patience =>
            {
                Observation::AnswerUndelivered(request)
            }
            CreateResult::Unknown { status } => {
                tracing::warn!(operation.id = %tracked.operation.id, %status, "Intuned answered with a status that is not known");
                Observation::Polled(CreateResult::Unknown { status })
            }
            result => Observation::Polled(result),
        }
    }

    /// Intuned could not be asked: whatever the reason, that says nothing about the sign-in.
    fn fault(&self, tracked: &mut Tracked, error: &IntunedError) -> Next {
        let operation_id = tracked.operation.id;
        if matches!(error, IntunedError::Unauthorized | IntunedError::Forbidden) {
            tracing::error!(operation.id = %operation_id, %error, "sign-ins wait: Intuned refuses the gateway; check INTUNED_API_KEY, INTUNED_WORKSPACE_ID and INTUNED_PROJECT_NAME");
        } else {
            tracing::debug!(operation.id = %operation_id, %error, "a poll failed");
        }
        tracked.faults = tracked.faults.saturating_add(1);
        let message = match error {
            IntunedError::Unreadable { .. } | IntunedError::TooLong => {
                "Intuned's answer cannot be read just now; asking again."
            }
            _ => "Intuned cannot be asked just now; trying again.",
        };
        self.progress(tracked, message.into());
        self.again(tracked, error.retry_after())
    }

    /// Writes down what the observation changes, and says when to look again.
    async fn take(&self, tracked: &mut Tracked, observation: Observation) -> Next {
        let next = match observe(&tracked.operation.state, observation.clone()) {
            Ok(Some(next)) => next,
            Ok(None) => {
                self.progress(tracked, tracked.operation.state.message());
                return self.again(tracked, None);
            }
            Err(error) => {
                tracing::error!(operation.id = %tracked.operation.id, %error, "dropped an observation");
                return self.again(tracked, None);
            }
        };
        let applying = self.store.apply(&tracked.operation, next, Guard::Lease);
        match Box::pin(applying).await {
            Ok((operation, event)) => self.changed(tracked, operation, event),
            Err(StoreError::Superseded) => Box::pin(self.reload(tracked)).await,
            Err(StoreError::IdTaken) => {
                tracing::error!(operation.id = %tracked.operation.id, "the session of a sign-in stands behind somebody else's connection; the sign-in fails");
                Box::pin(self.take(tracked, Observation::Astray)).await
            }
            Err(error) => {
                tracing::error!(operation.id = %tracked.operation.id, %error, "a change could not be written; trying again");
                tracked.faults = tracked.faults.saturating_add(1);
                tracked.unwritten = Some(Box::new(observation));
                self.again(tracked, None)
            }
        }
    }

    /// Tells of a change that was written down, and says when to look again.
    fn changed(&self, tracked: &mut Tracked, operation: Operation, event: Event) -> Next {
        log_change(&operation);
        if operation.state.has_ended() {
            counts::ended(&self.store.metrics, &operation);
            self.bus.forget_driven(operation.id);
            self.bus.publish(&operation, event);
            self.remover.noted.notify_one();
            return None;
        }
        self.bus.publish(&operation, event);
        if operation.lease != tracked.operation.lease {
            // It was written for whoever drives it now.
            self.bus.forget_driven(operation.id);
            return None;
        }
        tracked.polls = self.bus.note_driven(&operation);
        tracked.operation = operation;
        tracked.changed = Instant::now();
        tracked.looks = 0;
        self.again(tracked, None)
    }

    /// Goes on with what the table says: somebody else has written.
    async fn reload(&self, tracked: &mut Tracked) -> Next {
        match self.store.get(tracked.operation.id).await {
            Ok(Some(operation)) => {
                let operation = self.bus.with_polls(operation);
                if operation.sequence != tracked.operation.sequence {
                    self.bus.wake(&operation);
                    tracked.changed = Instant::now();
                }
                if operation.state.has_ended() || operation.lease != tracked.operation.lease {
                    self.bus.forget_driven(operation.id);
                    return None;
                }
                tracked.polls = self.bus.note_driven(&operation);
                tracked.operation = operation;
                tracked.outdated = false;
                self.again(tracked, None)
            }
            Ok(None) => {
                self.bus.forget_driven(tracked.operation.id);
                None
            }
            Err(error) => {
                tracing::error!(operation.id = %tracked.operation.id, %error, "an operation could not be read; trying again");
                tracked.outdated = true;
                tracked.faults = tracked.faults.saturating_add(1);
                self.again(tracked, None)
            }
        }
    }

    fn progress(&self, tracked: &Tracked, message: Cow<'static, str>) {
        let operation = &tracked.operation;
        if self.bus.is_followed(operation.id) {
            let event = operation.event(EventKind::Progress, message, self.store.clock.now());
            self.bus.publish(operation, event);
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "what jobs end with")]
    fn again(&self, tracked: &Tracked, retry_after: Option<Duration>) -> Next {
        let now = Instant::now();
        let state = &tracked.operation.state;
        let mut pause = match state {
            State::Starting => pace::settling_pause(tracked.looks, self.pace.first_look),
            _ => pace::pause(state, now - tracked.changed, self.pace.poll_interval),
        };
        pause = self.store.random.jitter(pause, JITTER);
        if tracked.faults > 0 {
            pause = pause.max(self.backoff(tracked.faults - 1, retry_after));
        }
        pause = pause.max(self.hold());
        let left = tracked.deadline.saturating_duration_since(now);
        // Past the deadline only the database is left to wait for.
        let waits_for_database = tracked.unwritten.is_some() || tracked.outdated;
        if !(left.is_zero() && waits_for_database) {
            pause = pause.min(left);
        }
        Some(pause)
    }

    /// For how long Intuned asked to be left alone.
    fn hold(&self) -> Duration {
        self.intuned.held_until().map_or(Duration::ZERO, |until| {
            until.saturating_duration_since(Instant::now())
        })
    }

    fn backoff(&self, attempt: u32, retry_after: Option<Duration>) -> Duration {
        Backoff::new().delay(attempt, retry_after, &self.store.random)
    }
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
