//! The one table of error codes: what each thing that can go wrong is called in
//! `extensions.code`, and what its reader is told to do. Runs have a part of their own, `run_error`.

use std::time::Duration;

use async_graphql::{Context, ErrorExtensions};
use sea_orm::DbErr;

use crate::{
    accounts::{AccountError, DeletionError},
    connections::ReadError,
    operations::{AttemptError, OperationError, StoreError},
    platform::database,
};
use intuned_client::IntunedError;

/// The extension that says, in seconds, when to come back.
const RETRY_AFTER: &str = "retryAfterSeconds";
const NOT_REMOVED: &str = "Intuned could not delete the session just now. The gateway goes on trying; you need do nothing.";

/// The value of an error's `extensions.code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCode {
    /// The request carries no valid session.
    Unauthenticated,
    /// There is none of that id, or it is someone else's.
    NotFound,
    /// An input is not acceptable.
    BadUserInput,
    /// The address has an account.
    EmailTaken,
    /// Accounts are not opened here.
    SignUpClosed,
    /// A wrong password or an unknown address.
    InvalidCredentials,
    /// One is in flight; its id is in `extensions.operationId`.
    OperationInProgress,
    /// An idempotency key that has begun something else.
    IdempotencyKeyReused,
    /// Already answered, or replaced by a newer one.
    InfoRequestStale,
    /// The user must connect again.
    ConnectionExpired,
    /// Too much at once; `extensions.retryAfterSeconds` says when to come back.
    RateLimited,
    /// Intuned could not be reached, refused the gateway, or failed.
    UpstreamError,
    /// Intuned took too long.
    UpstreamTimeout,
    /// The result is larger than is passed on.
    ResultTooLarge,
    /// The gateway's database is busy, away, or takes no writes; `extensions.retryAfterSeconds` says when to
    /// come back.
    ServiceUnavailable,
    /// The gateway's own failure; the log has the rest under the request's id.
    Internal,
}

impl ErrorCode {
    /// The code as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unauthenticated => "UNAUTHENTICATED",
            Self::NotFound => "NOT_FOUND",
            Self::BadUserInput => "BAD_USER_INPUT",
            Self::EmailTaken => "EMAIL_TAKEN",
            Self::SignUpClosed => "SIGN_UP_CLOSED",
            Self::InvalidCredentials => "INVALID_CREDENTIALS",
            Self::OperationInProgress => "OPERATION_IN_PROGRESS",
            Self::IdempotencyKeyReused => "IDEMPOTENCY_KEY_REUSED",
            Self::InfoRequestStale => "INFO_REQUEST_STALE",
            Self::ConnectionExpired => "CONNECTION_EXPIRED",
            Self::RateLimited => "RATE_LIMITED",
            Self::UpstreamError => "UPSTREAM_ERROR",
            Self::UpstreamTimeout => "UPSTREAM_TIMEOUT",
            Self::ResultTooLarge => "RESULT_TOO_LARGE",
            Self::ServiceUnavailable => "SERVICE_UNAVAILABLE",
            Self::Internal => "INTERNAL",
        }
    }
}

/// An error as clients see it. It is no `std::error::Error`, so that nothing turns one of those into
/// an answer by accident.
#[derive(Clone, Debug)]
pub struct ApiError {
    code: ErrorCode,
    message: String,
    extensions: Vec<(&'static str, async_graphql::Value)>,
}

impl ApiError {
    /// An error with a message that tells the reader what to do.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            extensions: Vec::new(),
        }
    }

    /// The request carries no valid session.
    pub fn unauthenticated() -> Self {
        Self::new(
            ErrorCode::Unauthenticated,
            "Sign in first, and send the token as `Authorization: Bearer`.",
        )
    }

    /// An id that is none.
    pub fn no_such_operation() -> Self {
        Self::new(
            ErrorCode::NotFound,
            "You have no operation of this id. Ask for `me { activeOperation { id } }`.",
        )
    }

    /// The gateway has too much to do, or is about to restart.
    fn busy() -> Self {
        Self::new(
            ErrorCode::RateLimited,
            "The gateway is busy. Try again in a moment.",
        )
        .with(RETRY_AFTER, 1)
    }

    /// Too much at once.
    fn rate_limited(message: &'static str, retry_after: Duration) -> Self {
        Self::new(ErrorCode::RateLimited, message).with(RETRY_AFTER, in_seconds(retry_after))
    }

    /// The database cannot do what is asked, for now.
    fn unavailable(message: &str) -> Self {
        Self::new(ErrorCode::ServiceUnavailable, message).with(RETRY_AFTER, 1)
    }

    fn internal(error: &dyn std::error::Error, request_id: &str) -> Self {
        tracing::error!(request_id, error = %Chain(error), "a request failed");
        Self::new(
            ErrorCode::Internal,
            format!("The gateway failed. Try again, or report this request: {request_id}"),
        )
    }

    /// The same with one more extension.
    pub(super) fn with(
        mut self,
        name: &'static str,
        value: impl Into<async_graphql::Value>,
    ) -> Self {
        self.extensions.push((name, value.into()));
        self
    }
}

impl From<ApiError> for async_graphql::Error {
    fn from(error: ApiError) -> Self {
        Self::new(error.message).extend_with(|_, extensions| {
            extensions.set("code", error.code.as_str());
            for (name, value) in error.extensions {
                extensions.set(name, value);
            }
        })
    }
}

/// The time in whole seconds, and not too early.
fn in_seconds(time: Duration) -> u64 {
    let seconds = time.as_millis().div_ceil(1000).max(1);
    u64::try_from(seconds).unwrap_or(u64::MAX)
}

/// An error with its causes, for the log.
struct Chain<'a>(&'a dyn std::error::Error);

impl std::fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(cause) = source {
            write!(f, ": {cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}

/// Maps what went wrong to what the client of the request at hand is told.
pub(super) trait OrFail<T> {
    /// The value, or the error in the client's terms.
    fn or_fail(self, context: &Context<'_>) -> Result<T, ApiError>;
}

impl<T, E: IntoApiError> OrFail<T> for Result<T, E> {
    fn or_fail(self, context: &Context<'_>) -> Result<T, ApiError> {
        self.map_err(|error| error.into_api_error(super::context::request_id(context)))
    }
}

/// An error of a module, and what clients see of it.
pub(super) trait IntoApiError {
    fn into_api_error(self, request_id: &str) -> ApiError;
}

impl IntoApiError for OperationError {
    fn into_api_error(self, request_id: &str) -> ApiError {
        match self {
            Self::NotFound => ApiError::no_such_operation(),
            Self::InProgress { operation_id } => ApiError::new(
                ErrorCode::OperationInProgress,
                "A sign-in is in progress. Follow it, or cancel it first.",
            )
            .with("operationId", operation_id.to_string()),
            Self::InfoRequestStale => ApiError::new(
                ErrorCode::InfoRequestStale,
                "This was answered already, or something newer is asked. Look at the operation's `infoRequest`.",
            ),
            Self::Input { field, problem } => ApiError::new(
                ErrorCode::BadUserInput,
                format!("{field}: {problem}"),
            )
            .with("field", field),
            Self::UnknownSequence { last } => ApiError::new(
                ErrorCode::BadUserInput,
                format!("afterSequence: the operation's last change is number {last}; give a number from 0 to {last}"),
            )
            .with("field", "afterSequence"),
            Self::AnswerUndelivered(error) => upstream(
                &error,
                "Your answer could not be passed on to Intuned. Send it again.",
            ),
            Self::NotRemoved(error) => upstream(&error, NOT_REMOVED),
            Self::RemovalPending { retry_after } => {
                ApiError::new(ErrorCode::UpstreamError, NOT_REMOVED)
                    .with(RETRY_AFTER, in_seconds(retry_after))
            }
            Self::ShuttingDown => ApiError::busy(),
            Self::Store(error) => error.into_api_error(request_id),
        }
    }
}

impl IntoApiError for StoreError {
    fn into_api_error(self, request_id: &str) -> ApiError {
        match self {
            Self::Superseded => ApiError::busy(),
            Self::NoUser => ApiError::unauthenticated(),
            Self::KeyReused => ApiError::new(
                ErrorCode::IdempotencyKeyReused,
                "idempotencyKey: this key has begun a sign-in with other input. Give a new key, or repeat what it was given with.",
            )
            .with("field", "idempotencyKey"),
            Self::Database(error) => error.into_api_error(request_id),
            Self::IdTaken | Self::Inconsistent(_) => ApiError::internal(&self, request_id),
        }
    }
}

impl IntoApiError for DbErr {
    fn into_api_error(self, request_id: &str) -> ApiError {
        database_failed(&self, request_id)
    }
}

impl IntoApiError for serde_json::Error {
    fn into_api_error(self, request_id: &str) -> ApiError {
        ApiError::internal(&self, request_id)
    }
}

impl IntoApiError for IntunedError {
    fn into_api_error(self, _: &str) -> ApiError {
        upstream(
            &self,
            "Intuned cannot be asked just now. Try again in a while.",
        )
    }
}

impl IntoApiError for ReadError {
    fn into_api_error(self, request_id: &str) -> ApiError {
        match self {
            Self::TooMuch { retry_after } => ApiError::rate_limited(
                "You read this too often. Wait a while before the next time.",
                retry_after,
            ),
            Self::Intuned(error) => error.into_api_error(request_id),
            Self::Run(error) => error.into_api_error(request_id),
            Self::Database(error) => error.into_api_error(request_id),
            Self::BrokenOff => ApiError::internal(&self, request_id),
        }
    }
}

impl IntoApiError for AccountError {
    fn into_api_error(self, request_id: &str) -> ApiError {
        match self {
            Self::InvalidEmail => {
                ApiError::new(ErrorCode::BadUserInput, "email: give a valid email address")
                    .with("field", "email")
            }
            Self::PasswordLength => ApiError::new(
                ErrorCode::BadUserInput,
                "password: give 8 to 128 characters",
            )
            .with("field", "password"),
            Self::EmailTaken => ApiError::new(
                ErrorCode::EmailTaken,
                "This address has an account. Sign in instead.",
            ),
            Self::InvalidCredentials => ApiError::new(
                ErrorCode::InvalidCredentials,
                "Email address or password is wrong.",
            ),
            Self::InvalidToken => ApiError::unauthenticated(),
            Self::TooManyTries { retry_after } => {
                ApiError::rate_limited("Too many tries. Wait a while before the next.", retry_after)
            }
            Self::SignUpClosed => ApiError::new(
                ErrorCode::SignUpClosed,
                "Accounts are not opened here. Sign in with one that you have.",
            ),
            Self::Busy | Self::NoKeys => ApiError::busy(),
            Self::Database(error) => error.into_api_error(request_id),
            error @ (Self::Hashing(_) | Self::Signing(_)) => ApiError::internal(&error, request_id),
        }
    }
}

impl IntoApiError for AttemptError {
    fn into_api_error(self, request_id: &str) -> ApiError {
        match self {
            Self::Account(error) => error.into_api_error(request_id),
            Self::Operation(error) => error.into_api_error(request_id),
        }
    }
}

impl IntoApiError for DeletionError<OperationError> {
    fn into_api_error(self, request_id: &str) -> ApiError {
        match self {
            Self::Account(error) => error.into_api_error(request_id),
            Self::Elsewhere(error) => error.into_api_error(request_id),
            Self::Busy => ApiError::busy(),
        }
    }
}

/// A database that is busy or away for a moment is no defect: the caller comes back.
fn database_failed(error: &DbErr, request_id: &str) -> ApiError {
    const NOTHING_STORED: &str =
        "The gateway cannot store anything at the moment. Try again later.";
    if database::is_read_only(error) {
        tracing::error!(request_id, %error, "the database takes no writes; look whether DATABASE_URL leads to a standby, and whether its disk is full");
        ApiError::unavailable(NOTHING_STORED)
    } else if database::is_transient(error) {
        tracing::warn!(request_id, %error, "the database is busy or away");
        ApiError::unavailable("The gateway's database is busy or away. Try again in a moment.")
    } else if database::cannot_write(error) {
        tracing::error!(request_id, %error, "the database cannot be written; look at its disk");
        ApiError::unavailable(NOTHING_STORED)
    } else {
        ApiError::internal(error, request_id)
    }
}

pub(super) fn upstream(error: &IntunedError, message: &'static str) -> ApiError {
    match error {
        IntunedError::RateLimited { retry_after } => {
            ApiError::rate_limited(message, retry_after.unwrap_or_default())
        }
        IntunedError::TimedOut => ApiError::new(ErrorCode::UpstreamTimeout, message),
        IntunedError::Unauthorized | IntunedError::Forbidden => {
            tracing::error!(%error, "Intuned refuses the gateway; check INTUNED_API_KEY, INTUNED_WORKSPACE_ID and INTUNED_PROJECT_NAME");
            ApiError::new(ErrorCode::UpstreamError, message)
        }
        _ => ApiError::new(ErrorCode::UpstreamError, message),
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnectionTrait;

    use super::*;

    #[tokio::test]
    async fn a_full_disk_is_no_defect_of_the_gateways() {
        let database = database::connect(&"sqlite::memory:".into(), 1)
            .await
            .unwrap();
        database::migrate(&database).await.unwrap();
        database
            .execute_unprepared("PRAGMA max_page_count = 1")
            .await
            .unwrap();
        let error = database
            .execute_unprepared("CREATE TABLE more AS SELECT zeroblob(100000)")
            .await
            .unwrap_err();
        let told = error.into_api_error("the-request");
        assert_eq!(told.code, ErrorCode::ServiceUnavailable, "{told:?}");
        assert!(told.message.contains("cannot store"), "{told:?}");
    }
}
