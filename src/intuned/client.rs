//! The client itself.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use tokio::time::Instant;

use super::{
    AuthSessionStatus, CreateAuthSession, CreateResult, IntunedConfig, IntunedError, RunError,
};
use crate::ambient::{Clock, Random};

/// Speaks to one project of one workspace at Intuned. Clones share connections and rate limits.
#[derive(Clone, Debug)]
pub struct IntunedClient {}

#[expect(
    clippy::todo,
    unused_variables,
    clippy::missing_errors_doc,
    clippy::unused_async,
    reason = "skeleton"
)]
impl IntunedClient {
    /// Builds the HTTP client; sends nothing.
    pub fn new(
        config: IntunedConfig,
        clock: std::sync::Arc<dyn Clock>,
        random: Random,
    ) -> Result<Self, reqwest::Error> {
        todo!()
    }

    /// `create.start`, sent exactly once. Answers Intuned's operation id.
    pub async fn start_create(&self, request: &CreateAuthSession) -> Result<String, IntunedError> {
        todo!()
    }

    /// `create.result`, sent once.
    pub async fn create_result(&self, operation_id: &str) -> Result<CreateResult, IntunedError> {
        todo!()
    }

    /// `create.resume`, sent exactly once.
    pub async fn resume_create(
        &self,
        operation_id: &str,
        info_request_id: &str,
        input: &SecretString,
    ) -> Result<(), IntunedError> {
        todo!()
    }

    /// `one`, sent once; none when Intuned does not know the session.
    pub async fn auth_session_status(
        &self,
        id: &str,
    ) -> Result<Option<AuthSessionStatus>, IntunedError> {
        todo!()
    }

    /// `delete`, sent once; a session that Intuned does not know counts as deleted.
    pub async fn delete_auth_session(&self, id: &str) -> Result<(), IntunedError> {
        todo!()
    }

    /// Runs the project's API `api` with no parameters within the auth session and waits for the result, at most
    /// `timeout`. Transient faults are retried with back-off.
    pub async fn run(
        &self,
        api: &str,
        auth_session_id: &str,
        timeout: Duration,
    ) -> Result<Value, RunError> {
        todo!()
    }

    /// Until when Intuned asked, by `Retry-After`, to be left alone by everything that uses this key.
    pub fn held_until(&self) -> Option<Instant> {
        todo!()
    }
}
