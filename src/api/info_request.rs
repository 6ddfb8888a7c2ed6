//! What a sign-in asks the user for, as clients see it.

use async_graphql::{ID, Interface, SimpleObject};

use intuned_client::{self, Question};

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
pub(super) enum InfoRequest {
    /// A one-time passcode.
    Otp(OtpRequest),
    /// One of some choices.
    Choice(ChoiceRequest),
}

/// Asks for a one-time passcode.
#[derive(SimpleObject)]
pub(super) struct OtpRequest {
    id: ID,
    /// What to show the user, in the words of the Intuned project.
    message: String,
}

/// Asks for one of the offered choices, word for word.
#[derive(SimpleObject)]
pub(super) struct ChoiceRequest {
    id: ID,
    /// What to show the user, in the words of the Intuned project.
    message: String,
    /// What may be answered.
    choices: Vec<String>,
}

impl From<intuned_client::InfoRequest> for InfoRequest {
    fn from(request: intuned_client::InfoRequest) -> Self {
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
