//! Between operations and their rows.

use entity::{Millis, operation, operation_event};
use sea_orm::ActiveValue::{NotSet, Set};
use uuid::Uuid;

use super::{change::Guard, error::InconsistentRow, fingerprint::IdempotencyKey};
use crate::{
    audit,
    operations::{
        model::{Event, EventKind, Operation, Ownership},
        state::{Failure, FailureCode, Kind, State, Status, Watch},
    },
};
use intuned_client::{InfoRequest, Question};

macro_rules! same_names {
    ($ours:ty, $rows:ty, $($name:ident),+) => {
        impl From<$ours> for $rows {
            fn from(value: $ours) -> Self {
                match value { $(<$ours>::$name => Self::$name),+ }
            }
        }
        impl From<$rows> for $ours {
            fn from(value: $rows) -> Self {
                match value { $(<$rows>::$name => Self::$name),+ }
            }
        }
    };
}

same_names!(Kind, operation::Kind, Connect, Reconnect);
same_names!(
    Status,
    operation::Status,
    Starting,
    Pending,
    InProgress,
    RequestedMoreInfo,
    Done,
    Failed,
    Canceled
);
same_names!(
    FailureCode,
    operation::FailureCode,
    SignInRejected,
    UpstreamError,
    TimedOut,
    Interrupted,
    CanceledByUser,
    CanceledUpstream
);

impl TryFrom<operation::Model> for Operation {
    type Error = InconsistentRow;

    fn try_from(row: operation::Model) -> Result<Self, Self::Error> {
        Ok(Self {
            id: row.id,
            user_id: row.user_id,
            kind: row.kind.into(),
            sequence: row.sequence,
            connection_id: row.connection_id,
            polls: row.polls,
            ownership: Ownership {
                owner: row.owner,
                epoch: row.epoch,
            },
            created_at: row.created_at.0,
            updated_at: row.updated_at.0,
            expires_at: row.expires_at.0,
            auth_session_id: row.auth_session_id.clone(),
            state: state_of(row)?,
        })
    }
}

fn state_of(row: operation::Model) -> Result<State, InconsistentRow> {
    let (id, status) = (row.id, row.status);
    let missing = |missing| InconsistentRow {
        id,
        status,
        missing,
    };
    let watch = Watch {
        upstream_id: row.upstream_operation_id,
        answered: row.answered_request_id,
    };
    let failure = || {
        let code = row.failure_code.ok_or(missing("failure_code"))?;
        Ok(Failure {
            code: code.into(),
            message: row.failure_message.unwrap_or_default(),
            retryable: row.failure_retryable.unwrap_or_default(),
            reference: row.failure_reference,
        })
    };
    Ok(match status {
        operation::Status::Starting => State::Starting,
        operation::Status::Pending => State::Pending(watch),
        operation::Status::InProgress => State::InProgress(watch),
        operation::Status::RequestedMoreInfo => State::RequestedMoreInfo {
            watch,
            request: row
                .info_request
                .ok_or(missing("info_request"))?
                .into_asked(),
        },
        operation::Status::Done => State::Done,
        operation::Status::Failed => State::Failed(failure()?),
        operation::Status::Canceled => State::Canceled(failure()?),
    })
}

trait IntoAsked {
    fn into_asked(self) -> InfoRequest;
}

impl IntoAsked for operation::InfoRequest {
    fn into_asked(self) -> InfoRequest {
        InfoRequest {
            id: self.id,
            message: self.message,
            question: self.choices.map_or(Question::Otp, Question::Choice),
        }
    }
}

fn stored_request(request: &InfoRequest) -> operation::InfoRequest {
    operation::InfoRequest {
        id: request.id.clone(),
        message: request.message.clone(),
        choices: match &request.question {
            Question::Otp => None,
            Question::Choice(choices) => Some(choices.clone()),
        },
    }
}

/// The columns that a change may touch, as they are to be after it.
pub(super) fn changed_columns(operation: &Operation) -> operation::ActiveModel {
    let watch = operation.state.watch();
    let (request, failure) = match &operation.state {
        State::RequestedMoreInfo { request, .. } => (Some(stored_request(request)), None),
        State::Failed(failure) | State::Canceled(failure) => (None, Some(failure)),
        _ => (None, None),
    };
    let ended_at = operation
        .state
        .has_ended()
        .then_some(Millis(operation.updated_at));
    operation::ActiveModel {
        status: Set(operation.state.status().into()),
        sequence: Set(operation.sequence),
        auth_session_id: Set(operation.auth_session_id.clone()),
        // Kept when the operation ends, for those who look into it later.
        upstream_operation_id: watch.map_or(NotSet, |watch| Set(watch.upstream_id.clone())),
        info_request: Set(request),
        answered_request_id: Set(watch.and_then(|watch| watch.answered.clone())),
        failure_code: Set(failure.map(|failure| failure.code.into())),
        failure_message: Set(failure.map(|failure| failure.message.clone())),
        failure_retryable: Set(failure.map(|failure| failure.retryable)),
        failure_reference: Set(failure.and_then(|failure| failure.reference.clone())),
        connection_id: Set(operation.connection_id),
        polls: Set(operation.polls),
        // Who drives it is not for a change to say; nobody does once it has ended.
        owner: if operation.state.has_ended() {
            Set(None)
        } else {
            NotSet
        },
        updated_at: Set(Millis(operation.updated_at)),
        ended_at: Set(ended_at),
        ..Default::default()
    }
}

/// A new operation's whole row.
pub(super) fn new_row(
    operation: &Operation,
    key: Option<&IdempotencyKey>,
) -> operation::ActiveModel {
    operation::ActiveModel {
        id: Set(operation.id),
        user_id: Set(operation.user_id),
        service: Set(entity::connection::Service::OrangeHrm),
        kind: Set(operation.kind.into()),
        idempotency_key: Set(key.map(|key| key.text.clone())),
        input_fingerprint: Set(key.map(|key| key.fingerprint.clone())),
        owner: Set(operation.ownership.owner),
        epoch: Set(operation.ownership.epoch),
        created_at: Set(Millis(operation.created_at)),
        expires_at: Set(Millis(operation.expires_at)),
        ..changed_columns(operation)
    }
}

/// A change's row.
pub(super) fn event_row(
    operation: &Operation,
    event: &Event,
    change_id: Uuid,
) -> operation_event::ActiveModel {
    operation_event::ActiveModel {
        operation_id: Set(operation.id),
        sequence: Set(event.sequence),
        status: Set(event.status.into()),
        message: Set(event.message.clone().into_owned()),
        polls: Set(event.polls),
        elapsed_ms: Set(event.elapsed_ms),
        occurred_at: Set(Millis(event.occurred_at)),
        change_id: Set(Some(change_id)),
    }
}

/// The line in the trail that tells of a change to the operation's owner; none when it is only progress.
pub(super) fn audit_event(after: &Operation, guard: Guard<'_>) -> Option<audit::Event> {
    let (kind, failure_code) = match &after.state {
        State::Done if after.kind == Kind::Reconnect => (audit::Kind::Reconnected, None),
        State::Done => (audit::Kind::Connected, None),
        State::Canceled(failure) if failure.code == FailureCode::CanceledByUser => {
            (audit::Kind::OperationCanceled, None)
        }
        State::Failed(failure) | State::Canceled(failure) => {
            (audit::Kind::ConnectFailed, Some(failure.code.into()))
        }
        _ => return None,
    };
    let event = audit::Event {
        operation_id: Some(after.id),
        failure_code,
        ..audit::Event::new(after.user_id, kind)
    };
    Some(match guard {
        Guard::Sequence(origin) => event.by(origin),
        Guard::Owner => event,
    })
}

impl From<operation_event::Model> for Event {
    fn from(row: operation_event::Model) -> Self {
        Self {
            kind: EventKind::Change,
            sequence: row.sequence,
            status: row.status.into(),
            message: row.message.into(),
            polls: row.polls,
            elapsed_ms: row.elapsed_ms,
            occurred_at: row.occurred_at.0,
        }
    }
}
