//! Steps of a task, and the reasons for its failure.

use std::time::Duration;

/// Step of a task. The last one is `Succeed` or `Fail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Waits for its start.
    Queue(Duration),
    /// Is being worked on.
    Work(Duration),
    AskPasscode,
    AskChoice,
    Succeed,
    Fail(Cause),
}

/// Reason for a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Rejected,
    WrongAnswers,
    NobodyAnswered,
    CannotAsk,
    SessionExpired,
    /// Another task replaced it, or its session was deleted.
    Terminated,
}
