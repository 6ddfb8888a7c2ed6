//! What clients are told of runs that brought no result.

use super::error::{ApiError, ErrorCode, IntoApiError, upstream};
use intuned_client::{IntunedError, RunError, RunFailure, RunFailureKind};

/// The extension that says whether the same, asked again, may work.
const RETRYABLE: &str = "retryable";
/// The extension with Intuned's correlation id, for its support.
const REFERENCE: &str = "reference";

impl IntoApiError for RunError {
    fn into_api_error(self, _: &str) -> ApiError {
        match self {
            Self::SessionExpired { reference } => {
                let expired = ApiError::new(
                    ErrorCode::ConnectionExpired,
                    "The connection to OrangeHRM has expired. Connect again.",
                );
                referring(expired.with(RETRYABLE, false), reference)
            }
            Self::Ended(failure) => ended(failure),
            Self::TooLarge { limit } => ApiError::new(
                ErrorCode::ResultTooLarge,
                format!("The claims are larger than {limit} bytes, the most that this gateway passes on. Trying again does not help: ask whoever runs it to raise MAX_RESULT_BYTES."),
            )
            .with(RETRYABLE, false),
            Self::TimedOut => ApiError::new(
                ErrorCode::UpstreamTimeout,
                "Reading the claims took too long. Try again.",
            )
            .with(RETRYABLE, true),
            Self::NotBegun(error) | Self::Intuned(error) => {
                not_asked(&error).with(RETRYABLE, error.is_transient())
            }
        }
    }
}

fn ended(failure: RunFailure) -> ApiError {
    let (code, happened) = match failure.kind {
        RunFailureKind::ParametersRejected => (
            ErrorCode::UpstreamError,
            "The project at Intuned did not accept what it was asked for.",
        ),
        RunFailureKind::ApiFailed => (
            ErrorCode::UpstreamError,
            "The project at Intuned could not read the claims.",
        ),
        RunFailureKind::ResultTooLarge => (
            ErrorCode::ResultTooLarge,
            "The claims are larger than Intuned passes on, whatever MAX_RESULT_BYTES is.",
        ),
        RunFailureKind::NotAllowed => (
            ErrorCode::UpstreamError,
            "Intuned refuses the account of this gateway.",
        ),
        RunFailureKind::Upstream => (
            ErrorCode::UpstreamError,
            "Intuned failed while it read the claims.",
        ),
        RunFailureKind::TimedOut => (
            ErrorCode::UpstreamTimeout,
            "Reading the claims took longer than Intuned lets it.",
        ),
        RunFailureKind::Canceled => (
            ErrorCode::UpstreamError,
            "Intuned ended the reading of the claims.",
        ),
    };
    let advice = if failure.retryable {
        "Try again in a while."
    } else {
        "Trying again does not help: tell whoever runs this gateway."
    };
    let told = ApiError::new(code, format!("{happened} {advice}"));
    referring(told.with(RETRYABLE, failure.retryable), failure.reference)
}

fn not_asked(error: &IntunedError) -> ApiError {
    let message = match error {
        IntunedError::Unreadable { .. } | IntunedError::TooLong => {
            "Intuned's answer with the claims could not be read. If it stays so, tell the operator."
        }
        error if error.is_transient() => {
            "Intuned could not be asked for the claims. Try again in a while."
        }
        _ => {
            "Intuned did not take the request for the claims. Trying again does not help: tell whoever runs this gateway."
        }
    };
    upstream(error, message)
}

fn referring(error: ApiError, reference: Option<String>) -> ApiError {
    match reference {
        Some(reference) => error.with(REFERENCE, reference),
        None => error,
    }
}
