//! What is done for one operation at a time: start it, look at it, write down what happened.

use std::{borrow::Cow, sync::Arc, time::Duration};

use tokio::{
    sync::{AcquireError, Semaphore, SemaphorePermit},
    time::{Instant, sleep, sleep_until, timeout_at},
};
use tokio_util::sync::CancellationToken;

use super::{
    bus::{Bus, Polls},
    counts,
    model::{Credentials, Event, EventKind, Operation},
    pace::{self, FORGOTTEN_POLLS, Pace, SETTLING_LOOKS},
    removals::Remover,
    replica::Heart,
    state::{Failure, FailureCode, Kind, Observation, State, observe},
    store::{Guard, Store, StoreError},
};
use crate::{
    audit::Origin,
    crash::{self, Point},
    intuned::{
        AuthSessionStatus, Backoff, CreateAuthSession, CreateResult, IntunedClient, IntunedError,
    },
};

/// For this long a start that Intuned certainly has not acted on is tried again: as long as the
/// credentials may stay in memory.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause before a confirmed start is written again that the database could not take.
const CONFIRM_AGAIN: Duration = Duration::from_secs(1);
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
            unwritten: None,
            outdated: false,
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

/// Why a start was not confirmed.
#[derive(Debug, thiserror::Error)]
enum NotStarted {
    /// There is nothing to start any more; nothing was sent.
    #[error("somebody else has ended or taken over the operation")]
    Superseded,
    /// Nothing was sent that Intuned may have acted on.
    #[error("the gateway stops")]
    Stopping,
    #[error(transparent)]
    Failed(#[from] IntunedError),
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

    /// Hands the credentials to Intuned, once, and forgets them.
    async fn start(&self, tracked: &mut Tracked, credentials: Credentials) -> Next {
        let observation = match self.hand_over(tracked, credentials).await {
            Ok(upstream_id) => return self.confirm(tracked, upstream_id).await,
            Err(NotStarted::Superseded) => {
                tracing::warn!(operation.id = %tracked.operation.id, "a start was not sent: somebody else has ended or taken over the operation");
                return self.reload(tracked).await;
            }
            Err(NotStarted::Stopping) => {
                tracing::warn!(operation.id = %tracked.operation.id, "a start was not sent: the gateway stops");
                Observation::StartFailed(Failure::interrupted())
            }
            // Nobody knows whether it began. A new session can be asked for; the old session of a
            // re-connect would answer for itself.
            Err(NotStarted::Failed(error))
                if error.may_have_acted() && tracked.operation.kind == Kind::Connect =>
            {
                tracing::warn!(operation.id = %tracked.operation.id, %error, "the start was not confirmed");
                return self.again(tracked, None);
            }
            Err(NotStarted::Failed(error)) => {
                tracing::warn!(operation.id = %tracked.operation.id, %error, "the start failed");
                Observation::StartFailed(start_failure(&error))
            }
        };
        self.take(tracked, observation).await
    }

    /// Writes down Intuned's id of the creation, for as long as that takes: it holds whoever drives the
    /// operation by now, and nobody else knows it.
    async fn confirm(&self, tracked: &mut Tracked, upstream_id: String) -> Next {
        let by_itself = Origin::default();
        let mut current = tracked.operation.clone();
        let mut attempt = 0;
        while Instant::now() < tracked.deadline {
            let upstream_id = upstream_id.clone();
            let Ok(Some(next)) = observe(&current.state, Observation::Started { upstream_id })
            else {
                break;
            };
            let guard = Guard::Sequence(&by_itself);
            let error = match self.store.apply(&current, next, guard).await {
                Ok((operation, event)) => return self.changed(tracked, operation, event),
                Err(StoreError::Superseded) => match self.store.get(current.id).await {
                    Ok(Some(now)) => {
                        current = now;
                        continue;
                    }
                    Ok(None) => break,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            tracing::error!(operation.id = %current.id, %error, "a confirmed start could not be written; trying again");
            sleep(self.backoff(attempt, None).min(CONFIRM_AGAIN)).await;
            attempt += 1;
        }
        self.reload(tracked).await
    }

    async fn hand_over(
        &self,
        tracked: &Tracked,
        credentials: Credentials,
    ) -> Result<String, NotStarted> {
        let request = CreateAuthSession {
            id: tracked.operation.auth_session_id.clone(),
            username: credentials.username,
            password: credentials.password,
            proxy: credentials.proxy,
        };
        let give_up = tracked.deadline.min(Instant::now() + START_PATIENCE);
        let mut attempt = 0;
        loop {
            let turn = timeout_at(give_up, self.turn());
            let turn = self.stopping.run_until_cancelled(turn).await;
            // Whoever takes the operation over has no credentials.
            let Some(turn) = turn.filter(|_| !self.stopping.is_cancelled()) else {
                return Err(NotStarted::Stopping);
            };
            let Ok(permit) = turn else {
                return Err(IntunedError::RateLimited { retry_after: None }.into());
            };
            // It may have waited for long, or been stopped.
            if !self.may_start(&tracked.operation).await {
                return Err(NotStarted::Superseded);
            }
            let starting = self.intuned.start_create(&request);
            let started = crash::during(Point::StartUnderWay, starting).await;
            drop(permit);
            let error = match started {
                Ok(upstream_id) => {
                    crash::at(Point::AfterStartAnswer);
                    return Ok(upstream_id);
                }
                Err(error) if error.may_have_acted() || !error.is_transient() => {
                    return Err(error.into());
                }
                Err(error) => error,
            };
            let pause = self.backoff(attempt, error.retry_after());
            if Instant::now() + pause >= give_up {
                return Err(error.into());
            }
            self.stopping.run_until_cancelled(sleep(pause)).await;
            attempt += 1;
        }
    }

    /// Waits until a start may be sent: not while Intuned asks to be left alone, and not too many at once.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, AcquireError> {
        while let Some(until) = self.intuned.held_until() {
            sleep_until(until).await;
        }
        self.starts.acquire().await
    }

    /// Whether the operation is in flight, and this replica's to start.
    async fn may_start(&self, operation: &Operation) -> bool {
        match self.store.get(operation.id).await {
            Ok(now) => now.is_some_and(|now| now.lease == operation.lease),
            // What cannot be read nobody else can have taken over yet, as long as the heart beats.
            Err(_) => self.heart.beats(),
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

    /// For want of an upstream id: the session that was to be made tells how far it is.
    async fn ask_for_session(&self, tracked: &mut Tracked) -> Next {
        if tracked.operation.kind == Kind::Reconnect {
            // Its old session would answer for itself.
            let lost = Observation::StartFailed((tracked.lost)());
            return self.take(tracked, lost).await;
        }
        let id = tracked.operation.auth_session_id.clone();
        match self.intuned.session_in_making(&id).await {
            Ok(status) => {
                tracked.faults = 0;
                tracked.looks += 1;
                let in_vain = tracked.operation.state == State::Starting
                    && tracked.looks > SETTLING_LOOKS
                    && matches!(status, Some(AuthSessionStatus::Expired) | None);
                let observation = if in_vain {
                    Observation::StartFailed((tracked.lost)())
                } else {
                    Observation::Session { id, status }
                };
                self.take(tracked, observation).await
            }
            Err(error) => self.fault(tracked, &error),
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

fn start_failure(error: &IntunedError) -> Failure {
    match error {
        IntunedError::Unauthorized | IntunedError::Forbidden => {
            tracing::error!(%error, "Intuned refuses the gateway; check INTUNED_API_KEY, INTUNED_WORKSPACE_ID and INTUNED_PROJECT_NAME");
            Failure::new(
                FailureCode::UpstreamError,
                false,
                "Intuned refused the gateway. Whoever runs it has been told.",
            )
        }
        IntunedError::NotFound | IntunedError::Conflict | IntunedError::Refused { .. } => {
            Failure::new(
                FailureCode::UpstreamError,
                false,
                "Intuned did not accept this sign-in.",
            )
        }
        IntunedError::Unreachable | IntunedError::RateLimited { .. } => Failure::new(
            FailureCode::UpstreamError,
            true,
            "Intuned could not be reached. Connect again in a while.",
        ),
        IntunedError::TimedOut
        | IntunedError::Broken
        | IntunedError::Server { .. }
        | IntunedError::TooLong
        | IntunedError::Unreadable { .. } => Failure::start_lost(),
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
