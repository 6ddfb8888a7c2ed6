//! What a sign-in asks the user for, as clients see it.

use std::borrow::Cow;

use async_graphql::{
    ContextSelectionSet, ID, Interface, OutputType, Positioned, ServerResult, SimpleObject, Value,
    indexmap::IndexMap, parser::types::Field, registry::Registry,
};

use crate::intuned::{self, Question};

/// What the sign-in asks the user for.
#[derive(Interface)]
#[graphql(
    field(name = "id", ty = "&ID"),
    field(
        name = "message",
        ty = "&String",
        desc = "What to show the user, in the words of the Intuned project."
    )
)]
enum InfoRequest {
    /// A one-time passcode.
    Otp(OtpRequest),
    /// One of some choices.
    Choice(ChoiceRequest),
}

/// Asks for a one-time passcode.
#[derive(SimpleObject)]
struct OtpRequest {
    id: ID,
    /// What to show the user, in the words of the Intuned project.
    message: String,
}

/// Asks for one of the offered choices, word for word.
#[derive(SimpleObject)]
struct ChoiceRequest {
    id: ID,
    /// What to show the user, in the words of the Intuned project.
    message: String,
    /// What may be answered.
    choices: Vec<String>,
}

impl From<intuned::InfoRequest> for InfoRequest {
    fn from(request: intuned::InfoRequest) -> Self {
        let (id, message) = (request.id.into(), request.message);
        match request.question {
            Question::Otp => Self::Otp(OtpRequest { id, message }),
            Question::Choice(choices) => Self::Choice(ChoiceRequest {
                id,
                message,
                choices,
            }),
        }
    }
}

/// An info request that is there even when nothing is selected from its type, as with a fragment on the
/// other one: async-graphql makes null of that, and clients would take it that nothing is asked.
pub(super) struct Asked(InfoRequest);

impl From<intuned::InfoRequest> for Asked {
    fn from(request: intuned::InfoRequest) -> Self {
        Self(request.into())
    }
}

impl OutputType for Asked {
    fn type_name() -> Cow<'static, str> {
        <InfoRequest as OutputType>::type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <InfoRequest as OutputType>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        context: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        let value = self.0.resolve(context, field).await?;
        Ok(match value {
            Value::Null => Value::Object(IndexMap::default()),
            value => value,
        })
    }
}
