//! Words for people: one line for each state of an operation, and for polls that changed nothing.

use std::borrow::Cow;

use super::state::{State, Watch};

/// Intuned does not know the creation, perhaps not yet.
pub(super) const NOT_FOUND: &str = "Intuned does not find the sign-in; looking again.";
/// Intuned's answer makes no sense.
pub(super) const UNREADABLE: &str = "Intuned's answer cannot be read just now; asking again.";
/// Intuned could not be asked.
pub(super) const NOT_ASKED: &str = "Intuned cannot be asked just now; trying again.";
/// Intuned told of a session that was not asked for.
pub(super) const ASTRAY: &str = "Intuned's answer was about another sign-in; looking again.";

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
