//! Runs of a project's API: started, watched to their end, and their refusals told apart.

use std::{future::Future, time::Duration};

use tokio::time::Instant;

use super::{
    ApiGeneration, AuthSessionStatus, Backoff, IntunedClient, IntunedError, RunError, ends,
    shares::Purpose,
    transport::{ANSWER_LIMIT, Call},
    wire::{self, NoParameters, Retry, RunBody, RunEnd, SessionRef},
};
use written_json::WrittenJson;

/// An answer that cannot be read may be another's than Intuned's, in passing. After so many it is
/// the claims themselves, and stays so.
const UNREADABLE_ANSWERS: u32 = 3;

/// For this long a start that Intuned certainly has not acted on is tried again.
const START_PATIENCE: Duration = Duration::from_secs(30);

/// The status code of a run of the first generation whose session, or else whose key, was refused.
const UNAUTHORIZED: u16 = 401;

impl IntunedClient {
    /// Runs the project's API `api` with no parameters within the auth session and waits for the
    /// result, at most `timeout`. Transient faults are retried with back-off, but a start that may
    /// have been acted on is not sent again. While Intuned asks to be left alone, no run is begun; one
    /// that has begun is waited for.
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
        let run = Run {
            client: self,
            api,
            session,
            timeout,
            deadline: Instant::now() + timeout,
        };
        let end = match self.api {
            ApiGeneration::V0_3 => run.in_one_request().await?,
            ApiGeneration::Auto | ApiGeneration::V1 => run.start_and_watch().await?,
        };
        match end {
            RunEnd::Completed(result) => Ok(result),
            RunEnd::TooLarge => {
                let limit = self.result_limit;
                tracing::warn!(
                    api,
                    limit,
                    "a run's result is too large to be passed on; see MAX_RESULT_BYTES"
                );
                Err(RunError::TooLarge { limit })
            }
            RunEnd::Failed {
                failure,
                status_code: Some(UNAUTHORIZED),
            } => Err(run
                .expired_or(ends::failed(&failure), IntunedError::is_transient)
                .await),
            RunEnd::Failed { failure, .. } => Err(ends::failed(&failure)),
            RunEnd::Canceled(reason) => Err(ends::canceled(&reason)),
        }
    }
}

/// A run, and when it must have ended.
struct Run<'a> {
    client: &'a IntunedClient,
    api: &'a str,
    session: &'a str,
    timeout: Duration,
    deadline: Instant,
}

impl Run<'_> {
    /// Generation 1: one request that lasts as long as the run.
    async fn in_one_request(&self) -> Result<RunEnd, RunError> {
        let body = self.body()?;
        let send = || {
            let call = Call::post("run.sync", &["run"], body.clone()).to(Purpose::LongRead);
            let call = Call {
                timeout: Some(self.timeout),
                ..call
            };
            self.end(call, None)
        };
        let end = self.begin(send).await?;
        Ok(end.ok_or(IntunedError::Unreadable {
            reason: "a run that has not ended",
        })?)
    }

    /// What both generations take: a start, then looks at the result until there is one.
    async fn start_and_watch(&self) -> Result<RunEnd, RunError> {
        let body = self.body()?;
        let start = async || {
            let call = Call::post("run.start", &["run", "start"], body.clone()).to(Purpose::Read);
            wire::read_run_started(&self.client.transport.ask(call).await?)
        };
        let run_id = self.begin(start).await?;
        let Some(_watch) = self.client.watches.begin(&run_id) else {
            tracing::error!(
                "Intuned answered a run's start with the id of another run under way; neither its start nor its result counts"
            );
            return Err(IntunedError::Unreadable {
                reason: "the id of another run",
            }
            .into());
        };
        let path = ["run", &run_id, "result"];
        let look = || {
            let call = Call::get("run.result", &path).to(Purpose::Read);
            self.end(call, Some(&run_id))
        };
        let interval = self.client.run_poll_interval;
        loop {
            tokio::time::sleep(self.client.random.jitter(interval, 0.2)).await;
            match self.persist(IntunedError::is_transient, look).await {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => {}
                Err(error) => return Err(self.refused(error, IntunedError::is_transient).await),
            }
        }
    }

    /// What the call tells of the run's end; none while it goes on. No more is read of an answer than a
    /// result may be long, and what stands around it.
    async fn end(
        &self,
        call: Call<'_>,
        run_id: Option<&str>,
    ) -> Result<Option<RunEnd>, IntunedError> {
        let limit = self.client.result_limit;
        let call = Call {
            limit: limit.saturating_add(ANSWER_LIMIT),
            ..call
        };
        match self.client.transport.ask(call).await {
            Err(IntunedError::TooLong) => Ok(Some(RunEnd::TooLarge)),
            answer => match wire::read_run(&answer?, run_id)? {
                Some(RunEnd::Completed(result)) if result.len() > limit => {
                    Ok(Some(RunEnd::TooLarge))
                }
                end => Ok(end),
            },
        }
    }

    /// Begins the run, as soon as Intuned can be reached: what it has certainly not acted on is sent again, for
    /// half a minute. While it asks to be left alone nothing is waited for.
    async fn begin<T, F>(&self, send: impl Fn() -> F) -> Result<T, RunError>
    where
        F: Future<Output = Result<T, IntunedError>>,
    {
        let give_up = self.deadline.min(Instant::now() + START_PATIENCE);
        let mut failures = 0;
        loop {
            let error = match send().await {
                Ok(begun) => return Ok(begun),
                Err(error @ (IntunedError::Unreachable | IntunedError::NotProcessed { .. })) => {
                    error
                }
                Err(error @ IntunedError::RateLimited { .. }) => {
                    return Err(RunError::NotBegun(error));
                }
                Err(error) => {
                    return Err(not_begun(self.refused(error, is_passing_fault).await));
                }
            };
            let random = &self.client.random;
            let delay = Backoff::new().delay(failures, error.retry_after(), random);
            if Instant::now() + delay >= give_up {
                return Err(RunError::NotBegun(error));
            }
            failures += 1;
            tokio::time::sleep(delay).await;
        }
    }

    /// What it means that Intuned answered with this error. Its session may be what is refused, or unknown.
    async fn refused(&self, error: IntunedError, worth_another_try: Worth) -> RunError {
        match error {
            IntunedError::Unauthorized | IntunedError::NotFound => {
                self.expired_or(error.into(), worth_another_try).await
            }
            IntunedError::TimedOut => RunError::TimedOut,
            error => error.into(),
        }
    }

    /// [`RunError::SessionExpired`] if Intuned says so of the session, or else `otherwise`.
    async fn expired_or(&self, otherwise: RunError, worth_another_try: Worth) -> RunError {
        let ask = || self.client.auth_session_status(self.session);
        match self.persist(worth_another_try, ask).await {
            Ok(Some(AuthSessionStatus::Expired) | None) => {
                RunError::SessionExpired { reference: None }
            }
            Ok(Some(AuthSessionStatus::Ready | AuthSessionStatus::Pending)) => otherwise,
            Err(error) => error.into(),
        }
    }

    /// Calls again, with back-off, while the error is worth it. Answers that cannot be read are given up
    /// after a few.
    async fn persist<T, F>(
        &self,
        worth_another_try: Worth,
        call: impl Fn() -> F,
    ) -> Result<T, IntunedError>
    where
        F: Future<Output = Result<T, IntunedError>>,
    {
        let (mut failures, mut unreadable) = (0, 0);
        loop {
            match call().await {
                Err(error) if worth_another_try(&error) => {
                    unreadable += u32::from(matches!(error, IntunedError::Unreadable { .. }));
                    if unreadable == UNREADABLE_ANSWERS {
                        return Err(error);
                    }
                    let random = &self.client.random;
                    let delay = Backoff::new().delay(failures, error.retry_after(), random);
                    failures += 1;
                    tokio::time::sleep(delay).await;
                }
                outcome => return outcome,
            }
        }
    }

    fn body(&self) -> Result<bytes::Bytes, IntunedError> {
        wire::sealed(&RunBody {
            api: self.api,
            parameters: NoParameters {},
            retry: Retry {
                maximum_attempts: 2,
            },
            auth_session: SessionRef { id: self.session },
            save_trace: self.client.later_generation().then_some(false),
        })
    }
}

/// The same of a start that was refused: because of the key, or since it could not be found out more.
fn not_begun(refused: RunError) -> RunError {
    match refused {
        RunError::Intuned(
            error @ (IntunedError::Unauthorized
            | IntunedError::Forbidden
            | IntunedError::RateLimited { .. }),
        ) => RunError::NotBegun(error),
        refused => refused,
    }
}

/// Whether an error is worth another try. What a run that is under way needs to know waits for the end of
/// a hold, too: it has been paid for.
type Worth = fn(&IntunedError) -> bool;

/// Worth another try where nothing is under way.
fn is_passing_fault(error: &IntunedError) -> bool {
    error.is_transient() && !matches!(error, IntunedError::RateLimited { .. })
}
