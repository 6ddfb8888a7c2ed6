//! Versions of a connection, for what is shared and kept.

use std::fmt;

use entity::{Millis, connection};

/// A connection as it was read. What was read of one version is neither shared with nor shown to those who
/// have another: the account may be another one, or be on its way out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Version {
    auth_session_id: String,
    connected_at: Millis,
    expired_at: Option<Millis>,
    is_leaving: bool,
}

impl Version {
    pub(crate) fn of(connection: &connection::Model) -> Self {
        let id = &connection.auth_session_id;
        Self {
            auth_session_id: id.clone(),
            connected_at: connection.connected_at,
            expired_at: connection.expired_at,
            is_leaving: connection.removing_session_id.as_ref() == Some(id),
        }
    }

    pub(super) fn has_expired(&self) -> bool {
        self.expired_at.is_some()
    }

    /// Bytes that it holds, about.
    pub(super) fn len(&self) -> usize {
        size_of::<Self>() + self.auth_session_id.len()
    }
}

/// The text that is stored beside what is kept of it.
impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = |at: Millis| at.0.timestamp_millis();
        let expired_at = self.expired_at.map(millis);
        write!(
            f,
            "{} {} {} {}",
            self.auth_session_id,
            millis(self.connected_at),
            expired_at.unwrap_or_default(),
            self.is_leaving
        )
    }
}
