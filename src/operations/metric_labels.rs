//! Labels of metrics for the things that operations count.

use super::metrics::OperationMetrics;
use super::{
    model::Operation,
    state::{FailureCode, Kind, State, Status},
};
use intuned_client::{CreateResult, IntunedError};

/// Statuses of operations in flight.
pub(super) const IN_FLIGHT: [Status; 4] = [
    Status::Starting,
    Status::Pending,
    Status::InProgress,
    Status::RequestedMoreInfo,
];

/// Counts an operation that was accepted.
pub(super) fn started(metrics: &OperationMetrics, operation: &Operation) {
    metrics.started(match operation.kind {
        Kind::Connect => "connect",
        Kind::Reconnect => "reconnect",
    });
}

/// Counts an operation whose end was written here; one in flight does not count.
pub(super) fn ended(metrics: &OperationMetrics, operation: &Operation) {
    let failure = match &operation.state {
        State::Done => "",
        State::Failed(failure) | State::Canceled(failure) => failure_name(failure.code),
        _ => return,
    };
    let took = operation.updated_at - operation.created_at;
    let status = status(operation.state.status());
    metrics.ended(status, failure, took.to_std().unwrap_or_default());
}

/// The status, as a label.
pub(super) fn status(status: Status) -> &'static str {
    match status {
        Status::Starting => "starting",
        Status::Pending => "pending",
        Status::InProgress => "in_progress",
        Status::RequestedMoreInfo => "requested_more_info",
        Status::Done => "done",
        Status::Failed => "failed",
        Status::Canceled => "canceled",
    }
}

/// The outcome of a poll, as a label.
pub(super) fn poll_result(polled: &Result<CreateResult, IntunedError>) -> &'static str {
    match polled {
        Ok(CreateResult::Pending) => "pending",
        Ok(CreateResult::InProgress) => "in_progress",
        Ok(CreateResult::RequestedMoreInfo(_)) => "requested_more_info",
        Ok(CreateResult::Done { .. }) => "done",
        Ok(CreateResult::Failed(_)) => "failed",
        Ok(CreateResult::Canceled(_)) => "canceled",
        Ok(CreateResult::Unknown { .. }) => "unknown_status",
        Err(error) => error.name(),
    }
}

fn failure_name(code: FailureCode) -> &'static str {
    match code {
        FailureCode::SignInRejected => "SIGN_IN_REJECTED",
        FailureCode::UpstreamError => "UPSTREAM_ERROR",
        FailureCode::TimedOut => "TIMED_OUT",
        FailureCode::Interrupted => "INTERRUPTED",
        FailureCode::CanceledByUser => "CANCELED_BY_USER",
        FailureCode::CanceledUpstream => "CANCELED_UPSTREAM",
    }
}
