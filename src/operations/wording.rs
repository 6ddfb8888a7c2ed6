//! Words for people: one line for each state of an operation.

use std::borrow::Cow;

use super::state::{State, Watch};

impl State {
    /// One line for people, of what is going on.
    pub fn message(&self) -> Cow<'static, str> {
        let message = match self {
            Self::Starting => "Handing the sign-in to Intuned.",
            Self::Pending(_) => "Intuned has taken the sign-in and will begin soon.",
            Self::InProgress(Watch { answered: None, .. }) => "Intuned is signing in to OrangeHRM.",
            Self::InProgress(_) => "Your answer was passed on; Intuned goes on signing in.",
            Self::RequestedMoreInfo { .. } => "The sign-in is waiting for you.",
            Self::Done => "Connected.",
            Self::Failed(failure) | Self::Canceled(failure) => {
                return failure.message.clone().into();
            }
        };
        message.into()
    }
}
