//! The fields of the types that events are made of, as `operation.rs` and `connection.rs` resolve them.

use async_graphql::resolver_utils::EnumType;
use entity::connection;

use super::{
    Shown,
    selection::{Field, Object, SelectionSets, held, leaf, nullable, object},
};
use crate::{
    api::{
        operation::{
            OperationEventKind, OperationFailureCode, OperationKind, OperationStatus, elapsed_ms,
        },
        scalars::Timestamp,
    },
    operations::state,
};
use intuned_client::{InfoRequest, Question};

pub(super) struct EventType;
struct OperationType;
struct OtpRequestType;
struct ChoiceRequestType;
struct FailureType;
struct ConnectionType;

impl Object for EventType {
    type Source = Shown;
    const NAME: &'static str = "OperationEvent";

    fn field(name: &str, sets: &SelectionSets<'_>) -> Option<Field<Shown>> {
        Some(match name {
            "kind" => leaf(|shown: &Shown| name_of::<OperationEventKind>(shown.event().kind)),
            "sequence" => leaf(|shown: &Shown| shown.event().sequence),
            "status" => leaf(|shown: &Shown| name_of::<OperationStatus>(shown.event().status)),
            "message" => held(|shown: &Shown| &shown.event().message),
            "polls" => leaf(|shown: &Shown| shown.event().polls),
            "elapsedMs" => leaf(|shown: &Shown| elapsed_ms(shown.event())),
            "occurredAt" => leaf(|shown: &Shown| Timestamp(shown.event().occurred_at).to_text()),
            "operation" => {
                let operation = sets.compile::<OperationType>()?;
                object(move |shown, json| operation.write(shown, json))
            }
            _ => return None,
        })
    }
}

impl Object for OperationType {
    type Source = Shown;
    const NAME: &'static str = "Operation";

    fn field(name: &str, sets: &SelectionSets<'_>) -> Option<Field<Shown>> {
        Some(match name {
            "id" => held(|shown: &Shown| &shown.operation().id),
            "kind" => leaf(|shown: &Shown| name_of::<OperationKind>(shown.operation().kind)),
            "status" => {
                leaf(|shown: &Shown| name_of::<OperationStatus>(shown.operation().state.status()))
            }
            "sequence" => leaf(|shown: &Shown| shown.operation().sequence),
            "infoRequest" => info_request(sets)?,
            "failure" => {
                let failure = sets.compile::<FailureType>()?;
                nullable(
                    |shown: &Shown| shown.operation().state.failure(),
                    move |shown, json| failure.write(shown, json),
                )
            }
            "connection" => {
                let connection = sets.compile::<ConnectionType>()?;
                sets.mark_reads_connection();
                nullable(
                    |shown: &Shown| shown.connection.as_ref(),
                    move |shown, json| connection.write(shown, json),
                )
            }
            "createdAt" => leaf(|shown: &Shown| Timestamp(shown.operation().created_at).to_text()),
            "updatedAt" => leaf(|shown: &Shown| Timestamp(shown.operation().updated_at).to_text()),
            "expiresAt" => leaf(|shown: &Shown| {
                let expires_at = shown.operation().given_up_at();
                expires_at.map(|instant| Timestamp(instant).to_text())
            }),
            _ => return None,
        })
    }
}

/// An interface: what is selected depends on which type it is.
fn info_request(sets: &SelectionSets<'_>) -> Option<Field<Shown>> {
    let otp = sets.compile::<OtpRequestType>()?;
    let choice = sets.compile::<ChoiceRequestType>()?;
    Some(nullable(
        |shown: &Shown| shown.operation().state.info_request(),
        move |request: &InfoRequest, json| match &request.question {
            Question::Otp => otp.write(request, json),
            Question::Choice(_) => choice.write(request, json),
        },
    ))
}

impl Object for OtpRequestType {
    type Source = InfoRequest;
    const NAME: &'static str = "OtpRequest";
    const INTERFACES: &'static [&'static str] = &["InfoRequest"];

    fn field(name: &str, _: &SelectionSets<'_>) -> Option<Field<InfoRequest>> {
        Some(match name {
            "id" => held(|request: &InfoRequest| &request.id),
            "message" => held(|request: &InfoRequest| &request.message),
            _ => return None,
        })
    }
}

impl Object for ChoiceRequestType {
    type Source = InfoRequest;
    const NAME: &'static str = "ChoiceRequest";
    const INTERFACES: &'static [&'static str] = &["InfoRequest"];

    fn field(name: &str, sets: &SelectionSets<'_>) -> Option<Field<InfoRequest>> {
        match name {
            "choices" => Some(held(|request: &InfoRequest| match &request.question {
                Question::Choice(choices) => choices.as_slice(),
                Question::Otp => &[],
            })),
            name => OtpRequestType::field(name, sets),
        }
    }
}

impl Object for FailureType {
    type Source = state::Failure;
    const NAME: &'static str = "OperationFailure";

    fn field(name: &str, _: &SelectionSets<'_>) -> Option<Field<state::Failure>> {
        Some(match name {
            "code" => {
                leaf(|failure: &state::Failure| name_of::<OperationFailureCode>(failure.code))
            }
            "message" => held(|failure: &state::Failure| &failure.message),
            "retryable" => leaf(|failure: &state::Failure| failure.retryable),
            "reference" => held(|failure: &state::Failure| &failure.reference),
            _ => return None,
        })
    }
}

/// Without what Intuned is asked for.
impl Object for ConnectionType {
    type Source = connection::Model;
    const NAME: &'static str = "Connection";

    fn field(name: &str, _: &SelectionSets<'_>) -> Option<Field<connection::Model>> {
        Some(match name {
            "id" => held(|connection: &connection::Model| &connection.id),
            "createdAt" => leaf(|connection: &connection::Model| {
                Timestamp::from(connection.created_at).to_text()
            }),
            "connectedAt" => leaf(|connection: &connection::Model| {
                Timestamp::from(connection.connected_at).to_text()
            }),
            _ => return None,
        })
    }
}

/// What the schema calls the value.
fn name_of<E: EnumType>(value: impl Into<E>) -> &'static str {
    let value = value.into();
    let mut items = E::items().iter();
    let item = items.find(|item| item.value == value);
    item.map_or("", |item| item.name)
}
