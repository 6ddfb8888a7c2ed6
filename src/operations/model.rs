//! An operation and what followers are told of it.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use uuid::Uuid;

use super::state::{Kind, State, Status};

/// One attempt to connect or re-connect an account, as of its last change.
#[derive(Clone, Debug, PartialEq)]
pub struct Operation {
    /// Chosen by the gateway; sorts by creation.
    pub id: Uuid,
    /// The user whose attempt it is.
    pub user_id: Uuid,
    /// Connect or re-connect.
    pub kind: Kind,
    /// Its state.
    pub state: State,
    /// Number of the last change, from 1.
    pub sequence: i32,
    /// The auth session's id at Intuned, chosen before Intuned is called.
    pub auth_session_id: String,
    /// The connection that it made; set exactly when it is done.
    pub connection_id: Option<Uuid>,
    /// The number of times that Intuned has been asked.
    pub polls: i32,
    /// The replica that may write to it.
    pub ownership: Ownership,
    /// The instant at which it was accepted.
    pub created_at: DateTime<Utc>,
    /// The instant of its last change.
    pub updated_at: DateTime<Utc>,
    /// The instant at which it is given up.
    pub expires_at: DateTime<Utc>,
}

/// The epoch of an operation whose owner is the replica that began it.
pub(super) const FIRST_EPOCH: i32 = 1;

/// The replica that drives an operation. A write by any other, or by the same one of an earlier epoch,
/// changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ownership {
    /// The replica.
    pub owner: Option<Uuid>,
    /// Grows with each change of owner.
    pub epoch: i32,
}

/// One thing that happened to an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Snapshot, change or progress.
    pub kind: EventKind,
    /// The operation's sequence as of this event.
    pub sequence: i32,
    /// The operation's status after it.
    pub status: Status,
    /// One line for people.
    pub message: Cow<'static, str>,
    /// The number of times that Intuned had been asked.
    pub polls: i32,
    /// Milliseconds since the operation began.
    pub elapsed_ms: i64,
    /// The instant of the event.
    pub occurred_at: DateTime<Utc>,
}

/// The sort of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// The state when the stream began.
    Snapshot,
    /// A change: its number is new, and it is kept.
    Change,
    /// A poll that changed nothing; not kept.
    Progress,
}

impl Operation {
    /// The instant at which it will be given up if nothing more happens; none once it has ended.
    pub fn given_up_at(&self) -> Option<DateTime<Utc>> {
        (!self.state.has_ended()).then_some(self.expires_at)
    }

    /// Tells whether its owner began it, and Intuned has not confirmed that yet. The owner keeps it although its
    /// lease runs out: anybody else could only end it.
    pub(super) fn is_starting_here(&self) -> bool {
        self.state == State::Starting && self.ownership.epoch == FIRST_EPOCH
    }

    /// An event of `kind` about the operation as it stands.
    pub fn event(&self, kind: EventKind, message: Cow<'static, str>, now: DateTime<Utc>) -> Event {
        Event {
            kind,
            sequence: self.sequence,
            status: self.state.status(),
            message,
            polls: self.polls,
            elapsed_ms: (now - self.created_at).num_milliseconds().max(0),
            occurred_at: now,
        }
    }
}

/// A user's sign-in at OrangeHRM, on its way to Intuned: kept in memory until it is handed over,
/// wiped afterwards, never printed.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The OrangeHRM username.
    pub username: SecretString,
    /// The OrangeHRM password.
    pub password: SecretString,
    /// Proxy for all of the session's traffic.
    pub proxy: Option<SecretString>,
}
