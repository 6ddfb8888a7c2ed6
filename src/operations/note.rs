//! What replicas tell each other: ids and numbers, nothing else.

use std::fmt;

use uuid::Uuid;

/// A payload of Postgres's NOTIFY is shorter than 8000 bytes.
/// <https://www.postgresql.org/docs/current/sql-notify.html>
const MAX_PAYLOAD: usize = 7900;

/// One message between replicas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Note {
    /// An operation has changed: the table has its change of this number.
    Changed {
        /// Who wrote it.
        by: Uuid,
        /// Which operation.
        id: Uuid,
        /// Number of the change.
        sequence: i32,
    },
    /// These operations are followed on some replica that does not drive them.
    Followed(Vec<Uuid>),
    /// Intuned has been asked so many times about these operations, and nothing has changed.
    Polled(Vec<(Uuid, i32)>),
}

impl Note {
    /// As few [`Note::Followed`] as hold all of `ids`.
    pub(super) fn followed(ids: &[Uuid]) -> impl Iterator<Item = Self> {
        ids.chunks(MAX_PAYLOAD / 33)
            .map(|ids| Self::Followed(ids.to_vec()))
    }

    /// As few [`Note::Polled`] as hold all of `polls`.
    pub(super) fn polled(polls: &[(Uuid, i32)]) -> impl Iterator<Item = Self> {
        polls
            .chunks(MAX_PAYLOAD / 44)
            .map(|polls| Self::Polled(polls.to_vec()))
    }

    /// None for what another version of the gateway may say and this one does not know.
    pub(super) fn parse(payload: &str) -> Option<Self> {
        let mut words = payload.split(' ');
        let note = match words.next()? {
            "changed" => Self::Changed {
                by: words.next()?.parse().ok()?,
                id: words.next()?.parse().ok()?,
                sequence: words.next()?.parse().ok()?,
            },
            "followed" => Self::Followed(words.map(|id| id.parse().ok()).collect::<Option<_>>()?),
            "polled" => Self::Polled(words.map(parse_polls).collect::<Option<_>>()?),
            _ => return None,
        };
        Some(note)
    }
}

fn parse_polls(word: &str) -> Option<(Uuid, i32)> {
    let (id, polls) = word.split_once(':')?;
    Some((id.parse().ok()?, polls.parse().ok()?))
}

impl fmt::Display for Note {
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
                    .try_for_each(|(id, polls)| write!(f, " {}:{polls}", id.simple()))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let id = Uuid::from_u128(7);
        for note in [
            Note::Changed {
                by: Uuid::from_u128(1),
                id,
                sequence: 3,
            },
            Note::Followed(vec![id, Uuid::from_u128(8)]),
            Note::Polled(vec![(id, 12), (Uuid::from_u128(8), 1)]),
        ] {
            assert_eq!(Note::parse(&note.to_string()), Some(note));
        }
    }

    #[test]
    fn what_is_not_known_is_left() {
        for payload in ["", "changed", "changed x y z", "polled 1", "hello world"] {
            assert_eq!(Note::parse(payload), None, "{payload}");
        }
    }

    #[test]
    fn payloads_are_short_and_few() {
        let ids: Vec<Uuid> = (0..1000).map(Uuid::from_u128).collect();
        let polls: Vec<_> = ids.iter().map(|id| (*id, i32::MAX)).collect();
        let notes: Vec<_> = Note::followed(&ids).chain(Note::polled(&polls)).collect();
        assert!(notes.iter().all(|note| note.to_string().len() < 8000));
        assert_eq!(notes.len(), 5 + 6);
        assert_eq!(Note::followed(&[]).count(), 0);
    }
}
