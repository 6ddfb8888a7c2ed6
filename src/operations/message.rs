//! Messages between replicas: ids and numbers, nothing else.

use std::fmt;

use uuid::Uuid;

/// A payload of Postgres's NOTIFY is shorter than 8000 bytes.
/// <https://www.postgresql.org/docs/current/sql-notify.html>
const MAX_PAYLOAD: usize = 7900;

/// One message between replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Message {
    /// An operation has changed: the table has its change of this number.
    Changed {
        /// The replica that wrote it.
        by: Uuid,
        /// The operation.
        id: Uuid,
        /// Number of the change.
        sequence: i32,
    },
    /// These operations are followed on some replica that does not drive them.
    Followed(Vec<Uuid>),
    /// Intuned has been asked so many times about these operations, and nothing has changed.
    Polled(Vec<PollCount>),
}

/// The number of polls of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PollCount {
    /// The operation.
    pub(super) id: Uuid,
    /// The number of times that Intuned has been asked about it.
    pub(super) polls: i32,
}

impl Message {
    /// Makes as few [`Message::Followed`] as hold all of `ids`.
    pub(super) fn followed(ids: &[Uuid]) -> impl Iterator<Item = Self> {
        ids.chunks(MAX_PAYLOAD / 33)
            .map(|ids| Self::Followed(ids.to_vec()))
    }

    /// Makes as few [`Message::Polled`] as hold all of `polls`.
    pub(super) fn polled(polls: &[PollCount]) -> impl Iterator<Item = Self> {
        polls
            .chunks(MAX_PAYLOAD / 44)
            .map(|polls| Self::Polled(polls.to_vec()))
    }

    /// Reads a message; none for what another version of the gateway may say and this one does not know.
    pub(super) fn parse(payload: &str) -> Option<Self> {
        let mut words = payload.split(' ');
        let message = match words.next()? {
            "changed" => Self::Changed {
                by: words.next()?.parse().ok()?,
                id: words.next()?.parse().ok()?,
                sequence: words.next()?.parse().ok()?,
            },
            "followed" => Self::Followed(words.map(|id| id.parse().ok()).collect::<Option<_>>()?),
            "polled" => Self::Polled(words.map(parse_polls).collect::<Option<_>>()?),
            _ => return None,
        };
        Some(message)
    }
}

fn parse_polls(word: &str) -> Option<PollCount> {
    let (id, polls) = word.split_once(':')?;
    Some(PollCount {
        id: id.parse().ok()?,
        polls: polls.parse().ok()?,
    })
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Changed { by, id, sequence } => {
                write!(f, "changed {} {} {sequence}", by.simple(), id.simple())
            }
            Self::Followed(ids) => {
                f.write_str("followed")?;
                ids.iter().try_for_each(|id| write!(f, " {}", id.simple()))
            }
            Self::Polled(polls) => {
                f.write_str("polled")?;
                polls
                    .iter()
                    .try_for_each(|PollCount { id, polls }| write!(f, " {}:{polls}", id.simple()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_message_is_read_back() {
        let id = Uuid::from_u128(7);
        for message in [
            Message::Changed {
                by: Uuid::from_u128(1),
                id,
                sequence: 3,
            },
            Message::Followed(vec![id, Uuid::from_u128(8)]),
            Message::Polled(vec![
                PollCount { id, polls: 12 },
                PollCount {
                    id: Uuid::from_u128(8),
                    polls: 1,
                },
            ]),
        ] {
            assert_eq!(Message::parse(&message.to_string()), Some(message));
        }
    }

    #[test]
    fn unknown_message_is_ignored() {
        for payload in ["", "changed", "changed x y z", "polled 1", "hello world"] {
            assert_eq!(Message::parse(payload), None, "{payload}");
        }
    }

    #[test]
    fn payloads_fit_into_notifications_and_are_few() {
        let ids: Vec<Uuid> = (0..1000).map(Uuid::from_u128).collect();
        let polls: Vec<_> = ids
            .iter()
            .map(|id| PollCount {
                id: *id,
                polls: i32::MAX,
            })
            .collect();
        let messages: Vec<_> = Message::followed(&ids)
            .chain(Message::polled(&polls))
            .collect();
        assert!(
            messages
                .iter()
                .all(|message| message.to_string().len() < 8000)
        );
        assert_eq!(messages.len(), 5 + 6);
        assert_eq!(Message::followed(&[]).count(), 0);
    }
}
