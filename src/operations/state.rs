//! The life of an operation as a pure function: (state, what happened) to (new state, or none).
//! It knows nothing of GraphQL, HTTP or the database, and does no I/O.
//!
//! ```text
//! STARTING → PENDING → IN_PROGRESS ⇄ REQUESTED_MORE_INFO → DONE | FAILED | CANCELED
//! ```

pub use super::failure::{Failure, FailureCode};
use super::verdict;
use intuned_client::{AuthSessionStatus, CreateResult, InfoRequest};

/// The purpose of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Makes a new auth session.
    Connect,
    /// Renews the auth session that the connection has.
    Reconnect,
}

/// The state's name, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Accepted; Intuned has not confirmed that it started.
    Starting,
    /// Started; Intuned has not begun to work on it.
    Pending,
    /// Intuned is signing in.
    InProgress,
    /// The sign-in waits for the user.
    RequestedMoreInfo,
    /// Ended: connected.
    Done,
    /// Ended without success.
    Failed,
    /// Ended by the user or by Intuned.
    Canceled,
}

/// The watch over an operation under way at Intuned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watch {
    /// Intuned's id of the creation. Without one (its start was never confirmed) the auth session's
    /// own status is watched instead.
    pub upstream_id: Option<String>,
    /// The info request answered last. Intuned may go on showing it for a while; it is not asked again.
    pub answered: Option<String>,
}

/// The state of an operation, with what belongs to that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Accepted; Intuned has not confirmed that it started.
    Starting,
    /// Started; Intuned has not begun to work on it.
    Pending(Watch),
    /// Intuned is signing in.
    InProgress(Watch),
    /// The sign-in waits for the user.
    RequestedMoreInfo {
        /// The watch over it meanwhile.
        watch: Watch,
        /// The question to the user.
        request: InfoRequest,
    },
    /// Connected: the auth session that the operation asked for stands.
    Done,
    /// Ended without success.
    Failed(Failure),
    /// Ended by the user or by Intuned.
    Canceled(Failure),
}

impl State {
    /// The state's name.
    pub fn status(&self) -> Status {
        match self {
            Self::Starting => Status::Starting,
            Self::Pending(_) => Status::Pending,
            Self::InProgress(_) => Status::InProgress,
            Self::RequestedMoreInfo { .. } => Status::RequestedMoreInfo,
            Self::Done => Status::Done,
            Self::Failed(_) => Status::Failed,
            Self::Canceled(_) => Status::Canceled,
        }
    }

    /// Tells whether nothing can happen to it any more.
    pub fn has_ended(&self) -> bool {
        matches!(self, Self::Done | Self::Failed(_) | Self::Canceled(_))
    }

    /// The watch over it at Intuned, once it has started there.
    pub fn watch(&self) -> Option<&Watch> {
        match self {
            Self::Pending(watch)
            | Self::InProgress(watch)
            | Self::RequestedMoreInfo { watch, .. } => Some(watch),
            Self::Starting | Self::Done | Self::Failed(_) | Self::Canceled(_) => None,
        }
    }

    /// The question to the user.
    pub fn info_request(&self) -> Option<&InfoRequest> {
        match self {
            Self::RequestedMoreInfo { request, .. } => Some(request),
            _ => None,
        }
    }

    /// The reason why it ended without success.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failure) | Self::Canceled(failure) => Some(failure),
            _ => None,
        }
    }
}

/// Something that happened to an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// `create.start` was confirmed.
    Started {
        /// Intuned's id of the creation.
        upstream_id: String,
    },
    /// The start came to nothing, for a known reason.
    StartFailed(Failure),
    /// `create.result` answered.
    Polled(CreateResult),
    /// The auth session itself was asked for, for want of an upstream id. A re-connect's old session
    /// may answer for itself, so only an operation that makes a new one may be watched like this.
    ///
    /// Its status; none when Intuned does not know it.
    Session(Option<AuthSessionStatus>),
    /// Intuned has repeatedly said that the creation made a session that was not asked for, or the one that was
    /// asked for turned out to be somebody else's.
    Astray,
    /// Intuned has repeatedly said that it does not know the creation.
    Forgotten,
    /// The user answers the info request of this id; the answer is about to be sent.
    Answered {
        /// The request's id.
        request_id: String,
    },
    /// The answer to this request did not reach Intuned, so the user is asked again.
    AnswerUndelivered(InfoRequest),
    /// The user gives up.
    CanceledByUser,
    /// The operation's time is up.
    TimedOut,
}

/// An observation that makes no sense in the state that it met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an operation that is {status:?} cannot take {observation}")]
pub struct InvalidTransition {
    status: Status,
    observation: &'static str,
}

/// The state that `observation` makes of `state`; none when nothing changes. An operation
/// that has ended stays as it is, whatever is observed: the first end stands.
///
/// # Errors
/// [`InvalidTransition`] for an observation that the state cannot meet.
pub fn transition(
    state: &State,
    observation: Observation,
) -> Result<Option<State>, InvalidTransition> {
    if state.has_ended() {
        return Ok(None);
    }
    let next = match (state, observation) {
        (_, Observation::CanceledByUser) => State::Canceled(Failure::canceled_by_user()),
        (_, Observation::TimedOut) => State::Failed(Failure::timed_out()),
        (_, Observation::Astray) => State::Failed(Failure::astray()),
        (State::Starting, observation) => return starting(observation),
        // The confirmation came late; from here on it can be asked, and answered.
        (State::InProgress(watch), Observation::Started { upstream_id })
            if watch.upstream_id.is_none() =>
        {
            State::InProgress(Watch {
                upstream_id: Some(upstream_id),
                answered: watch.answered.clone(),
            })
        }
        (_, Observation::Polled(result)) => polled(state, result),
        (_, Observation::Session(status)) => watched(state, status),
        (_, Observation::Forgotten) => State::Failed(Failure::forgotten()),
        (State::RequestedMoreInfo { watch, request }, Observation::Answered { request_id })
            if request.id == request_id =>
        {
            State::InProgress(Watch {
                upstream_id: watch.upstream_id.clone(),
                answered: Some(request_id),
            })
        }
        (State::InProgress(watch), Observation::AnswerUndelivered(request))
            if watch.answered.as_ref() == Some(&request.id) =>
        {
            State::RequestedMoreInfo {
                watch: Watch {
                    upstream_id: watch.upstream_id.clone(),
                    answered: None,
                },
                request,
            }
        }
        // What became of the answer no longer matters: Intuned has moved on by itself.
        (_, Observation::AnswerUndelivered(_)) => return Ok(None),
        (_, observation) => return Err(invalid(state, &observation)),
    };
    Ok((next != *state).then_some(next))
}

/// The outcome of an observation while the start is not confirmed.
fn starting(observation: Observation) -> Result<Option<State>, InvalidTransition> {
    let next = match observation {
        Observation::Started { upstream_id } => State::Pending(Watch {
            upstream_id: Some(upstream_id),
            answered: None,
        }),
        Observation::StartFailed(failure) => State::Failed(failure),
        Observation::Session(Some(AuthSessionStatus::Ready)) => State::Done,
        Observation::Session(Some(AuthSessionStatus::Pending)) => State::InProgress(Watch {
            upstream_id: None,
            answered: None,
        }),
        Observation::Session(Some(AuthSessionStatus::Expired) | None) => return Ok(None),
        observation => return Err(invalid(&State::Starting, &observation)),
    };
    Ok(Some(next))
}

fn polled(state: &State, result: CreateResult) -> State {
    let Some(watch) = state.watch() else {
        return state.clone();
    };
    match result {
        // Intuned says "pending" for all that has no browser yet; what the user saw is not taken back.
        CreateResult::Pending => match state {
            State::RequestedMoreInfo { .. } => State::InProgress(watch.clone()),
            _ => state.clone(),
        },
        CreateResult::InProgress => State::InProgress(watch.clone()),
        CreateResult::RequestedMoreInfo(request)
            if watch.answered.as_ref() == Some(&request.id) =>
        {
            State::InProgress(watch.clone())
        }
        CreateResult::RequestedMoreInfo(request) => State::RequestedMoreInfo {
            watch: watch.clone(),
            request,
        },
        // Whatever it is called in the answer, none but the session that was asked for is taken.
        CreateResult::Done { .. } => State::Done,
        CreateResult::Failed(failure) => State::Failed(verdict::of_failed(&failure)),
        CreateResult::Canceled(reason) => State::Canceled(verdict::of_canceled(&reason)),
        CreateResult::Unknown { .. } => state.clone(),
    }
}

fn watched(state: &State, status: Option<AuthSessionStatus>) -> State {
    match status {
        Some(AuthSessionStatus::Pending) => state.clone(),
        Some(AuthSessionStatus::Ready) => State::Done,
        Some(AuthSessionStatus::Expired) | None => State::Failed(Failure::start_lost()),
    }
}

fn invalid(state: &State, observation: &Observation) -> InvalidTransition {
    InvalidTransition {
        status: state.status(),
        observation: match observation {
            Observation::Started { .. } => "a confirmed start",
            Observation::StartFailed(_) => "a failed start",
            Observation::Polled(_) => "a poll's answer",
            Observation::Session(_) => "a session's status",
            Observation::Forgotten => "an unknown creation",
            Observation::Astray => "another session",
            Observation::Answered { .. } => "an answer to another request",
            Observation::AnswerUndelivered(_) => "an undelivered answer",
            Observation::CanceledByUser => "a cancellation",
            Observation::TimedOut => "a time-out",
        },
    }
}

#[cfg(test)]
#[path = "state_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "state_properties.rs"]
mod properties;
