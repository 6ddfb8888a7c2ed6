//! The meaning of a sign-in that Intuned ended without success. Its words are not passed on: they may repeat
//! what the user typed.

use super::failure::{Failure, FailureCode};
use intuned_client::UpstreamFailure;

const SIGN_IN_CODES: [&str; 7] = [
    "all-attempts-failed",
    "api-attempts-failed",
    "auth-check-failed",
    "check-attempts-failed",
    "create-attempts-failed",
    "post-create-check-attempts-failed",
    "script-execution-exception",
];

const OWN_CODES: [&str; 9] = [
    "internal-server-error",
    "job-run-terminated",
    "onepassword-integration-error",
    "result-too-big-error",
    "script-no-valid-output-received",
    "script-process-crashed",
    "script-timeout",
    "script-unexpected-error",
    "unexpected",
];

/// Tells a sign-in that OrangeHRM did not accept from Intuned's own trouble, by the categories and codes of
/// Intuned's errors.
pub(super) fn of_failed(failure: &UpstreamFailure) -> Failure {
    let verdict = if is_own_trouble(failure) {
        let retryable = failure.retryable.unwrap_or(!is_of_account(failure));
        let message = if retryable {
            "Intuned could not carry out the sign-in. Connect again in a while."
        } else {
            "Intuned could not carry out the sign-in. Connecting again does not help: tell whoever runs this gateway."
        };
        Failure::new(FailureCode::UpstreamError, retryable, message)
    } else {
        Failure::new(
            FailureCode::SignInRejected,
            failure.retryable.unwrap_or(false),
            "OrangeHRM did not accept the sign-in. Check what you typed and connect again.",
        )
    };
    referring(verdict, failure)
}

/// The failure that is told of a sign-in that Intuned canceled.
pub(super) fn of_canceled(reason: &UpstreamFailure) -> Failure {
    let retryable = reason.retryable.unwrap_or(!is_of_account(reason));
    let message = if retryable {
        "Intuned ended this sign-in. Connect again."
    } else {
        "Intuned ended this sign-in. Connecting again does not help: tell whoever runs this gateway."
    };
    let verdict = Failure::new(FailureCode::CanceledUpstream, retryable, message);
    referring(verdict, reason)
}

fn is_own_trouble(failure: &UpstreamFailure) -> bool {
    let code = failure.code.as_deref();
    match failure.category.as_deref() {
        Some("auth" | "user") => false,
        // A failure of the project's script: most often what it makes of a refused sign-in.
        Some("execution") => !code.is_none_or(|code| SIGN_IN_CODES.contains(&code)),
        Some(_) => true,
        // The first generation has no categories, and whatever text it likes for a code.
        None => code.is_some_and(|code| OWN_CODES.contains(&code)),
    }
}

/// Tells whether Intuned refuses the operator's account, which no user can mend.
fn is_of_account(failure: &UpstreamFailure) -> bool {
    failure.category.as_deref() == Some("billing")
        || failure.code.as_deref() == Some("api-access-disabled")
}

fn referring(verdict: Failure, to: &UpstreamFailure) -> Failure {
    Failure {
        reference: to.reference.clone(),
        ..verdict
    }
}
