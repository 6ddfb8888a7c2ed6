//! Operations and their events, as clients see them.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object, SimpleObject};

use super::{
    connection::Connection, error::ApiError, info_request::InfoRequest, scalars::Timestamp,
};
use crate::operations::{self, Update, state};

/// One attempt to connect or re-connect an account.
pub(super) struct Operation(pub(super) Arc<operations::Operation>);

impl From<operations::Operation> for Operation {
    fn from(operation: operations::Operation) -> Self {
        Self(Arc::new(operation))
    }
}

/// One attempt to connect or re-connect an account.
#[Object]
impl Operation {
    async fn id(&self) -> ID {
        self.0.id.into()
    }

    async fn kind(&self) -> OperationKind {
        self.0.kind.into()
    }

    async fn status(&self) -> OperationStatus {
        self.0.state.status().into()
    }

    /// Number of the last change, from 1.
    async fn sequence(&self) -> i32 {
        self.0.sequence
    }

    /// What the user is asked for; non-null exactly when status is REQUESTED_MORE_INFO.
    async fn info_request(&self) -> Option<InfoRequest> {
        self.0.state.info_request().cloned().map(InfoRequest::from)
    }

    /// Why it ended without success; non-null exactly when status is FAILED or CANCELED.
    async fn failure(&self) -> Option<OperationFailure> {
        self.0.state.failure().cloned().map(OperationFailure::from)
    }

    /// What it made; non-null exactly when status is DONE (null again once the account has been
    /// disconnected).
    async fn connection(&self, context: &Context<'_>) -> Result<Option<Connection>, ApiError> {
        let Some(made) = self.0.connection_id else {
            return Ok(None);
        };
        let connection = Connection::of(context, self.0.user_id).await?;
        Ok(connection.filter(|connection| connection.is(made)))
    }

    async fn created_at(&self) -> Timestamp {
        self.0.created_at.into()
    }

    async fn updated_at(&self) -> Timestamp {
        self.0.updated_at.into()
    }

    /// When it will be given up if nothing more happens; null once it has ended.
    async fn expires_at(&self) -> Option<Timestamp> {
        self.0.given_up_at().map(Timestamp)
    }
}

/// What an operation is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "state::Kind")]
pub(super) enum OperationKind {
    /// Makes a new auth session.
    Connect,
    /// Renews the auth session that the connection has.
    Reconnect,
}

/// Where an operation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "state::Status")]
pub(super) enum OperationStatus {
    /// Accepted; Intuned has not confirmed that it started.
    Starting,
    /// Started; Intuned has not begun to work on it.
    Pending,
    /// Intuned is signing in.
    InProgress,
    /// The sign-in waits for the user: see `infoRequest`, answer with `resumeConnection`.
    RequestedMoreInfo,
    /// Connected: see `connection`.
    Done,
    /// Ended without success: see `failure`.
    Failed,
    /// Given up by the user, or ended by Intuned: see `failure`.
    Canceled,
}

/// Why an operation ended without success.
#[derive(SimpleObject)]
pub(super) struct OperationFailure {
    code: OperationFailureCode,
    /// For people: no secrets, no internals.
    message: String,
    /// Whether connecting again, with nothing changed, may work.
    retryable: bool,
    /// Intuned's correlation id, for its support.
    reference: Option<String>,
}

impl From<state::Failure> for OperationFailure {
    fn from(failure: state::Failure) -> Self {
        Self {
            code: failure.code.into(),
            message: failure.message,
            retryable: failure.retryable,
            reference: failure.reference,
        }
    }
}

/// Why an operation ended without success, for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "state::FailureCode")]
pub(super) enum OperationFailureCode {
    /// OrangeHRM did not accept the sign-in.
    SignInRejected,
    /// Intuned could not be reached, refused the gateway, or failed by itself.
    UpstreamError,
    /// The operation's time was up.
    TimedOut,
    /// The gateway stopped before Intuned had confirmed the start, and what came of it cannot be known.
    Interrupted,
    /// Given up by the user.
    CanceledByUser,
    /// Ended by Intuned.
    CanceledUpstream,
}

/// One thing that happened to an operation.
#[derive(SimpleObject)]
pub(super) struct OperationEvent {
    kind: OperationEventKind,
    /// The operation's sequence as of this event; a PROGRESS event repeats the last change's.
    sequence: i32,
    status: OperationStatus,
    /// For people, one line: what is going on.
    message: String,
    /// How many times Intuned has been asked so far.
    polls: i32,
    /// Milliseconds since the operation began.
    elapsed_ms: i32,
    occurred_at: Timestamp,
    /// The operation as it is when the event is sent.
    operation: Operation,
}

impl From<Update> for OperationEvent {
    fn from(update: Update) -> Self {
        let Update {
            event, operation, ..
        } = update;
        Self {
            kind: event.kind.into(),
            sequence: event.sequence,
            status: event.status.into(),
            polls: event.polls,
            elapsed_ms: elapsed_ms(&event),
            message: event.message.into_owned(),
            occurred_at: event.occurred_at.into(),
            operation: Operation(operation),
        }
    }
}

/// As much as an `Int` holds, which is 24 days.
pub(super) fn elapsed_ms(event: &operations::Event) -> i32 {
    i32::try_from(event.elapsed_ms).unwrap_or(i32::MAX)
}

/// What sort of event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "operations::EventKind")]
pub(super) enum OperationEventKind {
    /// The state when the stream began.
    Snapshot,
    /// A change: its number is new, and it is kept.
    Change,
    /// A poll that changed nothing; not kept.
    Progress,
}
