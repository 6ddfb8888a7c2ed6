//! Runs of a project's API: started, watched to their end, and their refusals told apart.

use std::{future::Future, time::Duration};

use super::{
    ApiGeneration, AuthSessionStatus, Backoff, IntunedClient, IntunedError, RunError, ends,
    transport::{ANSWER_LIMIT, Call},
    wire::{self, NoParameters, Retry, RunBody, RunEnd, SessionRef},
};
use crate::json::WrittenJson;

/// An answer that cannot be read may be another's than Intuned's, in passing. After so many it is
/// the claims themselves, and stays so.
const UNREADABLE_ANSWERS: u32 = 3;

/// The status code of a run of the first generation whose session, or else whose key, was refused.
const UNAUTHORIZED: u16 = 401;

impl IntunedClient {
    /// Runs the project's API `api` with no parameters within the auth session and waits for the
    /// result, at most `timeout`. Transient faults are retried with back-off, but a start that may
    /// have been acted on is not sent again.
    ///
    /// Intuned answers a run with 401 both when the API key is wrong and when the session has expired.
    /// Then the session's status decides: expired or unknown is [`RunError::SessionExpired`], and else a
    /// 401 stays [`IntunedError::Unauthorized`] and a failed run [`RunError::Ended`]. A run that is answered
    /// with 404 is settled the same way, since its session may be what is unknown.
    ///
    /// The later generations say plainly that a run ended because of its session. Nothing is asked then: that
    /// Intuned calls a session good means that it was when it looked last, and the run looked later.
    ///
    /// # Errors
    ///
    /// See [`RunError`].
    pub async fn run(
        &self,
        api: &str,
        auth_session_id: &str,
        timeout: Duration,
    ) -> Result<WrittenJson, RunError> {
        tokio::time::timeout(timeout, self.run_to_its_end(api, auth_session_id, timeout))
            .await
            .unwrap_or(Err(RunError::TimedOut))
    }

    async fn run_to_its_end(
        &self,
        api: &str,
        session: &str,
        timeout: Duration,
    ) -> Result<WrittenJson, RunError> {
        let end = match self.api {
            ApiGeneration::V0_3 => self.run_sync(api, session, timeout).await,
            ApiGeneration::Auto | ApiGeneration::V1 => self.start_and_watch(api, session).await,
        };
        match end {
            Ok(RunEnd::Completed(result)) => Ok(result),
            Ok(RunEnd::TooLarge) => {
                let limit = self.result_limit;
                tracing::warn!(
                    api,
                    limit,
                    "a run's result is too large to be passed on; see MAX_RESULT_BYTES"
                );
                Err(RunError::TooLarge { limit })
            }
            Ok(RunEnd::Failed {
                failure,
                status_code: Some(UNAUTHORIZED),
            }) => Err(self.expired_or(session, ends::failed(&failure)).await),
            Ok(RunEnd::Failed { failure, .. }) => Err(ends::failed(&failure)),
            Ok(RunEnd::Canceled(reason)) => Err(ends::canceled(&reason)),
            Err(error @ (IntunedError::Unauthorized | IntunedError::NotFound)) => {
                Err(self.expired_or(session, error.into()).await)
            }
            Err(IntunedError::TimedOut) => Err(RunError::TimedOut),
            Err(error) => Err(error.into()),
        }
    }

    /// Generation 1: one request that lasts as long as the run.
    async fn run_sync(
        &self,
        api: &str,
        session: &str,
        timeout: Duration,
    ) -> Result<RunEnd, IntunedError> {
        let body = self.run_body(api, session)?;
        let send = || {
            self.end_of_run(Call {
                timeout: Some(timeout),
                ..Call::post("run.sync", &["run"], body.clone())
            })
        };
        let end = self.persist(certainly_not_acted_on, send).await?;
        end.ok_or(IntunedError::Unreadable {
            reason: "a run that has not ended",
        })
    }

    /// What both generations take: a start, then looks at the result until there is one.
    async fn start_and_watch(&self, api: &str, session: &str) -> Result<RunEnd, IntunedError> {
        let body = self.run_body(api, session)?;
        let start = async || {
            let call = Call::post("run.start", &["run", "start"], body.clone());
            wire::read_run_started(&self.transport.ask(call).await?)
        };
        let run_id = self.persist(certainly_not_acted_on, start).await?;
        let path = ["run", &run_id, "result"];
        let look = || self.end_of_run(Call::get("run.result", &path));
        loop {
            tokio::time::sleep(self.random.jitter(self.run_poll_interval, 0.2)).await;
            if let Some(end) = self.persist(IntunedError::is_transient, look).await? {
                return Ok(end);
            }
        }
    }

    /// What the call tells of the run's end; none while it goes on. No more is read of an answer than a
    /// result may be long, and what stands around it.
    async fn end_of_run(&self, call: Call<'_>) -> Result<Option<RunEnd>, IntunedError> {
        let limit = self.result_limit;
        let call = Call {
            limit: limit.saturating_add(ANSWER_LIMIT),
            ..call
        };
        match self.transport.ask(call).await {
            Err(IntunedError::TooLong) => Ok(Some(RunEnd::TooLarge)),
            answer => match wire::read_run(&answer?)? {
                Some(RunEnd::Completed(result)) if result.len() > limit => {
                    Ok(Some(RunEnd::TooLarge))
                }
                end => Ok(end),
            },
        }
    }

    /// [`RunError::SessionExpired`] if Intuned says so of the session, or else `otherwise`.
    async fn expired_or(&self, session: &str, otherwise: RunError) -> RunError {
        let ask = || self.auth_session_status(session);
        match self.persist(IntunedError::is_transient, ask).await {
            Ok(Some(AuthSessionStatus::Expired) | None) => {
                RunError::SessionExpired { reference: None }
            }
            Ok(Some(AuthSessionStatus::Ready | AuthSessionStatus::Pending)) => otherwise,
            Err(error) => error.into(),
        }
    }

    /// Calls again, with back-off, while the error is worth it; never while the key is held. Answers
    /// that cannot be read are given up after a few.
    async fn persist<T, F>(
        &self,
        worth_another_try: impl Fn(&IntunedError) -> bool,
        call: impl Fn() -> F,
    ) -> Result<T, IntunedError>
    where
        F: Future<Output = Result<T, IntunedError>>,
    {
        let (mut failures, mut unreadable) = (0, 0);
        loop {
            while let Some(until) = self.held_until() {
                tokio::time::sleep_until(until).await;
            }
            match call().await {
                Err(error) if worth_another_try(&error) => {
                    unreadable += u32::from(matches!(error, IntunedError::Unreadable { .. }));
                    if unreadable == UNREADABLE_ANSWERS {
                        return Err(error);
                    }
                    let delay = Backoff::new().delay(failures, error.retry_after(), &self.random);
                    failures += 1;
                    tokio::time::sleep(delay).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn run_body(&self, api: &str, session: &str) -> Result<bytes::Bytes, IntunedError> {
        wire::sealed(&RunBody {
            api,
            parameters: NoParameters {},
            retry: Retry {
                maximum_attempts: 2,
            },
            auth_session: SessionRef { id: session },
            save_trace: self.later_generation().then_some(false),
        })
    }
}

fn certainly_not_acted_on(error: &IntunedError) -> bool {
    error.is_transient() && !error.may_have_acted()
}
