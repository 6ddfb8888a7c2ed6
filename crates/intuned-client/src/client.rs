//! The client itself: a method for each call.

use std::sync::Arc;

use secrecy::SecretString;
use tokio::time::Instant;

use super::{
    ApiGeneration, AuthSessionStatus, CreateAuthSession, CreateResult, IntunedConfig, IntunedError,
    shares::Purpose,
    transport::{Call, Transport},
    watches::Watches,
    wire::{self, CreateBody, Credentials, Exposed, ResumeBody},
};
use crate::metrics::IntunedMetrics;
use ambient::{Clock, Random};

/// Speaks to one project of one workspace at Intuned. Clones share connections and rate limits.
///
/// An id that cannot be a segment of a path (empty, `.`, `..`, over-long, with control characters)
/// is answered with [`IntunedError::NotFound`], and nothing is sent.
#[derive(Clone, Debug)]
pub struct IntunedClient {
    pub(super) transport: Arc<Transport>,
    pub(super) api: ApiGeneration,
    pub(super) run_poll_interval: std::time::Duration,
    pub(super) result_limit: usize,
    pub(super) watches: Watches,
    pub(super) random: Random,
}

impl IntunedClient {
    /// Builds the HTTP client; sends nothing.
    ///
    /// # Errors
    ///
    /// When there are no certificates to trust, or when the API key cannot be a header.
    pub fn new(
        config: IntunedConfig,
        clock: Arc<dyn Clock>,
        random: Random,
    ) -> Result<Self, reqwest::Error> {
        Self::with_metrics(config, clock, random, IntunedMetrics::default())
    }

    /// As [`IntunedClient::new`], with calls counted in `metrics`.
    ///
    /// # Errors
    ///
    /// As [`IntunedClient::new`].
    pub fn with_metrics(
        config: IntunedConfig,
        clock: Arc<dyn Clock>,
        random: Random,
        metrics: IntunedMetrics,
    ) -> Result<Self, reqwest::Error> {
        let (api, run_poll_interval) = (config.api, config.run_poll_interval);
        let result_limit = config.result_limit;
        let transport = Transport::new(config, clock, metrics)?;
        Ok(Self {
            api,
            run_poll_interval,
            result_limit,
            watches: Watches::default(),
            random,
            transport: Arc::new(transport),
        })
    }

    /// `create.start`, sent at most once. Answers Intuned's operation id.
    ///
    /// # Errors
    ///
    /// Any [`IntunedError`]; [`IntunedError::may_have_acted`] tells whether the sign-in may be under
    /// way all the same.
    pub async fn start_create(&self, request: &CreateAuthSession) -> Result<String, IntunedError> {
        self.create(request, None).await
    }

    /// As [`IntunedClient::start_create`], unless it cannot be sent before `not_after`.
    ///
    /// # Errors
    ///
    /// As there; [`IntunedError::TooLate`] when nothing was sent.
    pub async fn start_create_before(
        &self,
        not_after: Instant,
        request: &CreateAuthSession,
    ) -> Result<String, IntunedError> {
        self.create(request, Some(not_after)).await
    }

    async fn create(
        &self,
        request: &CreateAuthSession,
        not_after: Option<Instant>,
    ) -> Result<String, IntunedError> {
        let body = wire::sealed(&CreateBody {
            id: &request.id,
            parameters: Credentials {
                username: Exposed(&request.username),
                password: Exposed(&request.password),
            },
            proxy: request.proxy.as_ref().map(Exposed),
            // A trace films the password being typed, and three tries can lock the account.
            save_trace: self.later_generation().then_some(false),
            create_attempts: self.later_generation().then_some(1),
        })?;
        let path = ["auth-sessions", "create"];
        let call = Call {
            not_after,
            ..Call::post("create.start", &path, body)
        };
        wire::read_create_started(&self.transport.ask(call).await?)
    }

    /// `create.result`, sent once.
    ///
    /// # Errors
    ///
    /// Any [`IntunedError`]; [`IntunedError::NotFound`] when Intuned does not know the operation.
    pub async fn create_result(&self, operation_id: &str) -> Result<CreateResult, IntunedError> {
        let path = ["auth-sessions", "create", operation_id, "result"];
        let call = Call::get("create.result", &path);
        wire::read_create_result(&self.transport.ask(call).await?)
    }

    /// `create.resume`, sent at most once.
    ///
    /// # Errors
    ///
    /// Any [`IntunedError`]; [`IntunedError::may_have_acted`] tells whether the input may have been
    /// used all the same.
    pub async fn resume_create(
        &self,
        operation_id: &str,
        info_request_id: &str,
        input: &SecretString,
    ) -> Result<(), IntunedError> {
        let answer = Answer {
            operation_id,
            info_request_id,
            input,
        };
        self.resume(answer, None).await
    }

    /// As [`IntunedClient::resume_create`], unless it cannot be sent before `not_after`.
    ///
    /// # Errors
    ///
    /// As there; [`IntunedError::TooLate`] when nothing was sent.
    pub async fn resume_create_before(
        &self,
        not_after: Instant,
        operation_id: &str,
        info_request_id: &str,
        input: &SecretString,
    ) -> Result<(), IntunedError> {
        let answer = Answer {
            operation_id,
            info_request_id,
            input,
        };
        self.resume(answer, Some(not_after)).await
    }

    async fn resume(
        &self,
        answer: Answer<'_>,
        not_after: Option<Instant>,
    ) -> Result<(), IntunedError> {
        let body = wire::sealed(&ResumeBody {
            input: Exposed(answer.input),
            info_request_id: answer.info_request_id,
        })?;
        let path = ["auth-sessions", "create", answer.operation_id, "resume"];
        let call = Call {
            not_after,
            ..Call::post("create.resume", &path, body).to(Purpose::Answer)
        };
        self.transport.ask(call).await.map(drop)
    }

    /// `one` for somebody who reads the status, sent at most once; none when Intuned does not know the
    /// session. While Intuned asks to be left alone, and when too much is read already, nothing is sent.
    ///
    /// # Errors
    ///
    /// Any [`IntunedError`] but [`IntunedError::NotFound`].
    pub async fn auth_session_status(
        &self,
        id: &str,
    ) -> Result<Option<AuthSessionStatus>, IntunedError> {
        self.one(Purpose::Read, id).await
    }

    /// `one` for a sign-in that is to make the session, sent once whoever reads.
    ///
    /// # Errors
    ///
    /// Any [`IntunedError`] but [`IntunedError::NotFound`].
    pub async fn session_in_making(
        &self,
        id: &str,
    ) -> Result<Option<AuthSessionStatus>, IntunedError> {
        self.one(Purpose::SignIn, id).await
    }

    async fn one(
        &self,
        purpose: Purpose,
        id: &str,
    ) -> Result<Option<AuthSessionStatus>, IntunedError> {
        let path = ["auth-sessions", id];
        let call = Call::get("one", &path).to(purpose);
        match self.transport.ask(call).await {
            Ok(body) => wire::read_session(&body, id).map(Some),
            Err(IntunedError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `delete`, sent at most once; a session that Intuned does not know counts as deleted. While
    /// Intuned asks removals or sign-ins to leave it alone, nothing is sent.
    ///
    /// # Errors
    ///
    /// Any [`IntunedError`] but [`IntunedError::NotFound`].
    pub async fn delete_auth_session(&self, id: &str) -> Result<(), IntunedError> {
        let path = ["auth-sessions", id];
        let call = Call::delete("delete", &path).to(Purpose::Removal);
        match self.transport.send(call).await {
            Ok(_) | Err(IntunedError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Until when Intuned asked, by a 429 to a start or a poll, to be left alone by everything that
    /// uses this key. Whoever starts, polls and answers sign-ins must wait for it.
    pub fn held_until(&self) -> Option<Instant> {
        self.transport.held_until(Purpose::SignIn)
    }

    /// Whether what makes sessions may be sent, as of now.
    ///
    /// # Errors
    ///
    /// [`IntunedError::RateLimited`] during a hold.
    pub fn check_hold(&self) -> Result<(), IntunedError> {
        Ok(self.transport.check_hold(Purpose::SignIn)?)
    }

    /// Whether reads may be sent, as of now.
    ///
    /// # Errors
    ///
    /// [`IntunedError::RateLimited`] during a hold.
    pub fn check_read_hold(&self) -> Result<(), IntunedError> {
        Ok(self.transport.check_hold(Purpose::Read)?)
    }

    /// Whether removals may be sent, as of now.
    ///
    /// # Errors
    /// [`IntunedError::RateLimited`] during a hold.
    pub fn check_removal_hold(&self) -> Result<(), IntunedError> {
        Ok(self.transport.check_hold(Purpose::Removal)?)
    }

    /// Until when removals are not sent.
    pub fn removals_held_until(&self) -> Option<Instant> {
        self.transport.held_until(Purpose::Removal)
    }

    /// Whether fields that only the later generations have are sent.
    pub(super) fn later_generation(&self) -> bool {
        self.api != ApiGeneration::V0_3
    }
}

/// What a user answers to an info request.
struct Answer<'a> {
    operation_id: &'a str,
    info_request_id: &'a str,
    input: &'a SecretString,
}
