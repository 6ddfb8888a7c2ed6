//! Ends of runs that brought no result, told apart by Intuned's categories and codes. Its words are not
//! passed on: they may repeat what was sent.

use super::{RunError, RunFailure, RunFailureKind, UpstreamFailure};

/// Reasons and codes that say of a run's auth session that the user must connect again.
const SESSION: [&str; 4] = [
    "auth-check-failed",
    "auth-session-invalid-mid-job",
    "auth-session-not-found",
    "auth-session-validate-dependency-failed",
];

/// Reasons that pass by themselves: something else has the session, or is at work, just now.
const PASSING: [&str; 3] = [
    "another-job-run-active",
    "auth-session-locked",
    "job-run-paused",
];

const ACCESS: &str = "api-access-disabled";

/// What a run that has failed comes to.
pub(super) fn failed(failure: &UpstreamFailure) -> RunError {
    let code = failure.code.as_deref();
    let category = failure.category.as_deref();
    if category == Some("auth") || is_of_session(failure) {
        return expired(failure);
    }
    let kind = match (code, category) {
        (Some("result-too-big-error"), _) => RunFailureKind::ResultTooLarge,
        (Some("script-timeout"), _) => RunFailureKind::TimedOut,
        (Some(ACCESS), _) | (_, Some("billing")) => RunFailureKind::NotAllowed,
        (_, Some("user")) => RunFailureKind::ParametersRejected,
        (_, Some("execution")) => RunFailureKind::ApiFailed,
        _ => RunFailureKind::Upstream,
    };
    let passes = matches!(kind, RunFailureKind::Upstream | RunFailureKind::TimedOut);
    ended(failure, kind, passes)
}

/// What a run that was canceled comes to.
pub(super) fn canceled(reason: &UpstreamFailure) -> RunError {
    let code = reason.code.as_deref();
    let category = reason.category.as_deref();
    if category == Some("auth") || is_of_session(reason) {
        return expired(reason);
    }
    let kind = match (code, category) {
        (Some(ACCESS), _) | (_, Some("billing")) => RunFailureKind::NotAllowed,
        _ => RunFailureKind::Canceled,
    };
    ended(
        reason,
        kind,
        code.is_some_and(|code| PASSING.contains(&code)),
    )
}

fn is_of_session(failure: &UpstreamFailure) -> bool {
    let code = failure.code.as_deref();
    code.is_some_and(|code| SESSION.contains(&code))
}

fn expired(failure: &UpstreamFailure) -> RunError {
    tracing::info!(?failure, "a run ended because of its auth session");
    RunError::SessionExpired {
        reference: failure.reference.clone(),
    }
}

/// `passes`: what to think where Intuned says nothing of trying again.
fn ended(failure: &UpstreamFailure, kind: RunFailureKind, passes: bool) -> RunError {
    if kind == RunFailureKind::NotAllowed {
        tracing::error!(
            ?failure,
            "Intuned refuses the account: look at its plan, billing and access"
        );
    } else {
        tracing::warn!(?failure, "Intuned ended a run without a result");
    }
    RunError::Ended(RunFailure {
        kind,
        retryable: failure.retryable.unwrap_or(passes),
        reference: failure.reference.clone(),
    })
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn failure(category: &str, code: &str) -> UpstreamFailure {
        let some = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        UpstreamFailure {
            code: some(code),
            category: some(category),
            retryable: None,
            reference: Some("the-reference".into()),
            message: "words".into(),
        }
    }

    fn end(kind: RunFailureKind, retryable: bool) -> RunError {
        RunError::Ended(RunFailure {
            kind,
            retryable,
            reference: Some("the-reference".into()),
        })
    }

    #[rstest]
    #[case("billing", "", RunFailureKind::NotAllowed, false)]
    #[case(
        "infrastructure",
        "api-access-disabled",
        RunFailureKind::NotAllowed,
        false
    )]
    #[case("user", "", RunFailureKind::ParametersRejected, false)]
    #[case("infrastructure", "", RunFailureKind::Upstream, true)]
    #[case("execution", "api-attempts-failed", RunFailureKind::ApiFailed, false)]
    #[case(
        "execution",
        "result-too-big-error",
        RunFailureKind::ResultTooLarge,
        false
    )]
    #[case("user", "result-too-big-error", RunFailureKind::ResultTooLarge, false)]
    #[case("execution", "script-timeout", RunFailureKind::TimedOut, true)]
    #[case("", "", RunFailureKind::Upstream, true)]
    #[case("a-new-one", "a-new-one", RunFailureKind::Upstream, true)]
    fn failures_are_told_apart(
        #[case] category: &str,
        #[case] code: &str,
        #[case] kind: RunFailureKind,
        #[case] retryable: bool,
    ) {
        let mut failure = failure(category, code);
        assert_eq!(failed(&failure), end(kind, retryable));
        for said in [true, false] {
            failure.retryable = Some(said);
            assert_eq!(failed(&failure), end(kind, said), "as Intuned says");
        }
    }

    #[rstest]
    #[case("api-access-disabled", RunFailureKind::NotAllowed, false)]
    #[case("terminated", RunFailureKind::Canceled, false)]
    #[case("auth-session-locked", RunFailureKind::Canceled, true)]
    #[case("another-job-run-active", RunFailureKind::Canceled, true)]
    #[case("a-new-one", RunFailureKind::Canceled, false)]
    #[case("", RunFailureKind::Canceled, false)]
    fn cancellations_are_told_apart(
        #[case] code: &str,
        #[case] kind: RunFailureKind,
        #[case] retryable: bool,
    ) {
        assert_eq!(canceled(&failure("", code)), end(kind, retryable));
    }

    #[test]
    fn a_cancellation_may_have_the_category_of_a_failure() {
        let refused = end(RunFailureKind::NotAllowed, false);
        assert_eq!(canceled(&failure("billing", "a-new-one")), refused);
        let expired = canceled(&failure("auth", "a-new-one"));
        assert!(matches!(expired, RunError::SessionExpired { .. }));
    }

    #[rstest]
    #[case("auth", "", true)]
    #[case("auth", "a-new-one", true)]
    #[case("auth", "script-timeout", true)]
    #[case("execution", "auth-session-not-found", true)]
    #[case("", "auth-session-validate-dependency-failed", true)]
    #[case("", "auth-session-invalid-mid-job", true)]
    #[case("", "auth-session-not-found", true)]
    #[case("", "auth-session-locked", false)]
    fn a_run_that_ends_because_of_its_session_has_expired(
        #[case] category: &str,
        #[case] code: &str,
        #[case] expected: bool,
    ) {
        let failure = failure(category, code);
        let expired = RunError::SessionExpired {
            reference: Some("the-reference".into()),
        };
        assert_eq!(failed(&failure) == expired, expected);
        if category.is_empty() {
            assert_eq!(canceled(&failure) == expired, expected);
        }
    }
}
