//! The audit trail, as its owner sees it.

use async_graphql::{Context, Enum, ID, SimpleObject};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use entity::audit_event;
use uuid::Uuid;

use super::{
    error::{ApiError, ErrorCode, OrFail},
    operation::OperationFailureCode,
    scalars::Timestamp,
};
use crate::audit::{Kind, LONGEST_PAGE, Page, Trail};

/// A page of the user's trail.
pub(super) async fn page(
    context: &Context<'_>,
    user_id: Uuid,
    first: i32,
    after: Option<String>,
) -> Result<AuditEventConnection, ApiError> {
    let length = u16::try_from(first).ok();
    let length = length
        .filter(|length| (1..=LONGEST_PAGE).contains(length))
        .ok_or_else(|| bad_input("first", "give a number from 1 to 100"))?;
    let after = after.map(|cursor| read_cursor(&cursor)).transpose()?;
    let trail = context.data_unchecked::<Trail>();
    let page = trail.page(user_id, length, after).await.or_fail(context)?;
    Ok(page.into())
}

fn cursor(id: Uuid) -> String {
    URL_SAFE_NO_PAD.encode(id.as_bytes())
}

fn read_cursor(cursor: &str) -> Result<Uuid, ApiError> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok();
    let id = bytes.and_then(|bytes| Uuid::from_slice(&bytes).ok());
    id.ok_or_else(|| bad_input("after", "give the `endCursor` of the page before, or none"))
}

fn bad_input(field: &'static str, problem: &str) -> ApiError {
    ApiError::new(ErrorCode::BadUserInput, format!("{field}: {problem}")).with("field", field)
}

/// A page of an audit trail, the newest event first.
#[derive(SimpleObject)]
pub(super) struct AuditEventConnection {
    edges: Vec<AuditEventEdge>,
    page_info: PageInfo,
}

/// An event of a page.
#[derive(SimpleObject)]
pub(super) struct AuditEventEdge {
    /// For `after`: the page that it gives begins with the next older event.
    cursor: String,
    node: AuditEvent,
}

/// Where a page ends.
#[derive(SimpleObject)]
pub(super) struct PageInfo {
    /// Whether there are more, past the end of this page.
    has_next_page: bool,
    /// The cursor of the last one; null on an empty page.
    end_cursor: Option<String>,
}

impl From<Page> for AuditEventConnection {
    fn from(page: Page) -> Self {
        Self {
            page_info: PageInfo {
                has_next_page: page.has_more,
                end_cursor: page.events.last().map(|event| cursor(event.id)),
            },
            edges: page.events.into_iter().map(AuditEventEdge::from).collect(),
        }
    }
}

impl From<audit_event::Model> for AuditEventEdge {
    fn from(event: audit_event::Model) -> Self {
        Self {
            cursor: cursor(event.id),
            node: AuditEvent {
                id: event.id.into(),
                kind: event.kind.into(),
                occurred_at: event.occurred_at.into(),
                client_address: event.client_address,
                request_id: event.request_id,
                operation_id: event.operation_id.map(ID::from),
                failure_code: event
                    .failure_code
                    .map(|code| crate::operations::state::FailureCode::from(code).into()),
            },
        }
    }
}

/// Something that was done with the account.
#[derive(SimpleObject)]
pub(super) struct AuditEvent {
    id: ID,
    kind: AuditEventKind,
    occurred_at: Timestamp,
    /// The address that it was asked for from; null when the gateway did it by itself.
    client_address: Option<String>,
    /// The id of the request that asked for it, as in the answer's header `x-request-id`.
    request_id: Option<String>,
    /// The operation that it belongs to.
    operation_id: Option<ID>,
    /// Why connecting ended without success; non-null exactly when kind is CONNECT_FAILED.
    failure_code: Option<OperationFailureCode>,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[graphql(remote = "Kind")]
pub(super) enum AuditEventKind {
    /// The account was opened, and signed in.
    AccountOpened,
    /// Somebody signed in.
    SignedIn,
    /// Somebody tried to sign in with a wrong password.
    SignInFailed,
    /// A session was ended.
    SignedOut,
    /// Connecting or re-connecting began.
    ConnectStarted,
    /// A passcode or a choice was sent.
    InfoRequestAnswered,
    /// A sign-in at OrangeHRM was given up.
    OperationCanceled,
    /// The OrangeHRM account was connected.
    Connected,
    /// The connection was renewed.
    Reconnected,
    /// Connecting or re-connecting ended without success: see `failureCode`.
    ConnectFailed,
    /// The connection was found to have expired.
    ConnectionExpired,
    /// Disconnecting was asked for.
    DisconnectRequested,
    /// The connection is gone, here and at Intuned.
    Disconnected,
    /// Claims were read.
    ClaimsRead,
}
