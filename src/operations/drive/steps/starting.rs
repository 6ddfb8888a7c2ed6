//! The start of an operation: its credentials are handed to Intuned, once, and forgotten.

use std::time::Duration;

use tokio::{
    sync::{AcquireError, SemaphorePermit},
    time::{Instant, sleep, sleep_until, timeout_at},
};

use super::{
    super::{command::Step, progress::Progress},
    Steps,
};
use crate::{
    audit::Origin,
    operations::{
        model::{Credentials, Operation},
        state::{Failure, Kind, Observation, transition},
        store::{Guard, StoreError},
    },
    platform::crash::{self, Point},
};
use intuned_client::{CreateAuthSession, IntunedError};

/// The time for which a start is tried again that Intuned certainly has not acted on: as long as the
/// credentials may stay in memory.
const START_PATIENCE: Duration = Duration::from_secs(30);
/// The longest pause before a confirmed start is written again that the database could not take.
const CONFIRM_AGAIN: Duration = Duration::from_secs(1);

/// The reason why a start was not confirmed.
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

impl Steps {
    /// Hands the credentials to Intuned, once, and forgets them.
    pub(super) async fn start(&self, progress: &mut Progress, credentials: Credentials) -> Step {
        let observation = match self.hand_over(progress, credentials).await {
            Ok(upstream_id) => return self.confirm(progress, upstream_id).await,
            Err(NotStarted::Superseded) => {
                tracing::warn!(operation.id = %progress.operation.id, "a start was not sent: somebody else has ended or taken over the operation");
                return self.reload(progress).await;
            }
            Err(NotStarted::Stopping) => {
                tracing::warn!(operation.id = %progress.operation.id, "a start was not sent: the gateway stops");
                Observation::StartFailed(Failure::interrupted())
            }
            // Nobody knows whether it began. A new session can be asked for; the old session of a
            // re-connect would answer for itself.
            Err(NotStarted::Failed(error))
                if error.may_have_acted() && progress.operation.kind == Kind::Connect =>
            {
                tracing::warn!(operation.id = %progress.operation.id, %error, "the start was not confirmed");
                return self.reschedule(progress, None);
            }
            Err(NotStarted::Failed(error)) => {
                tracing::warn!(operation.id = %progress.operation.id, %error, "the start failed");
                Observation::StartFailed(start_failure(&error))
            }
        };
        self.apply(progress, observation).await
    }

    /// Writes down Intuned's id of the creation, for as long as that takes: it holds whoever drives the
    /// operation by now, and nobody else knows it.
    async fn confirm(&self, progress: &mut Progress, upstream_id: String) -> Step {
        let by_itself = Origin::default();
        let mut current = progress.operation.clone();
        let mut attempt = 0;
        while Instant::now() < progress.deadline {
            let upstream_id = upstream_id.clone();
            let Ok(Some(next)) = transition(&current.state, Observation::Started { upstream_id })
            else {
                break;
            };
            let guard = Guard::Sequence(&by_itself);
            let error = match self.store.apply(&current, next, guard).await {
                Ok((operation, event)) => return self.changed(progress, operation, event),
                Err(StoreError::Superseded) => match self.store.get(current.id).await {
                    Ok(Some(now)) => {
                        current = now;
                        continue;
                    }
                    Ok(None) => break,
                    Err(error) => error,
                },
                Err(StoreError::IdTaken) => return self.started_astray(progress).await,
                Err(error) => error,
            };
            tracing::error!(operation.id = %current.id, %error, "a confirmed start could not be written; trying again");
            sleep(self.backoff(attempt, None).min(CONFIRM_AGAIN)).await;
            attempt += 1;
        }
        self.reload(progress).await
    }

    /// Intuned has called the creation what another one in flight is called, and nobody could tell whose its
    /// answers are: the start counts as one that was not confirmed.
    async fn started_astray(&self, progress: &mut Progress) -> Step {
        tracing::error!(
            operation.id = %progress.operation.id,
            "Intuned answered a start with the id of another sign-in; it is not taken"
        );
        match progress.operation.kind {
            Kind::Connect => self.reschedule(progress, None),
            Kind::Reconnect => {
                let lost = Observation::StartFailed(Failure::start_lost());
                self.apply(progress, lost).await
            }
        }
    }

    async fn hand_over(
        &self,
        progress: &Progress,
        credentials: Credentials,
    ) -> Result<String, NotStarted> {
        let request = CreateAuthSession {
            id: progress.operation.auth_session_id.clone(),
            username: credentials.username,
            password: credentials.password,
            proxy: credentials.proxy,
        };
        let give_up = progress.deadline.min(Instant::now() + START_PATIENCE);
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
            let started = match self.may_start_until(&progress.operation).await? {
                Some(until) => {
                    let until = until.min(give_up);
                    let starting = self.intuned.start_create_before(until, &request);
                    crash::during(Point::StartUnderWay, starting).await
                }
                None => Err(IntunedError::TooLate),
            };
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

    /// The instant until which the operation may be started here; none before this replica's next sign of life, when others
    /// may take it over at any moment. What is read holds for as long as the lease does by the sign of life before:
    /// a process that stood still for longer does not know what the others have made of the operation, and would
    /// leave a session behind that nobody expects.
    async fn may_start_until(&self, operation: &Operation) -> Result<Option<Instant>, NotStarted> {
        let until = self.lease.held_until();
        let read = self.store.get(operation.id).await;
        // What cannot be read nobody else can have taken over yet, as long as the lease is held.
        let is_ours = read.map_or(true, |now| {
            now.is_some_and(|now| now.ownership == operation.ownership)
        });
        is_ours.then_some(until).ok_or(NotStarted::Superseded)
    }
}

fn start_failure(error: &IntunedError) -> Failure {
    match error {
        IntunedError::Unauthorized | IntunedError::Forbidden => {
            tracing::error!(%error, "Intuned refuses the gateway; check INTUNED_API_KEY, INTUNED_WORKSPACE_ID and INTUNED_PROJECT_NAME");
            Failure::gateway_refused()
        }
        IntunedError::NotFound | IntunedError::Conflict | IntunedError::Refused { .. } => {
            Failure::start_refused()
        }
        IntunedError::TooLate => Failure::interrupted(),
        IntunedError::Unreachable
        | IntunedError::RateLimited { .. }
        | IntunedError::NotProcessed { .. } => Failure::unreachable(),
        IntunedError::TimedOut
        | IntunedError::Broken
        | IntunedError::Server { .. }
        | IntunedError::TooLong
        | IntunedError::Unreadable { .. } => Failure::start_lost(),
    }
}
