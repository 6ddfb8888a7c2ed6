//! Removing connections: it is noted in a transaction, then tried at Intuned until that confirms.

mod notes;
mod remover;

pub(crate) use notes::{Noted, is_staying, mark, note, note_connection};
pub(crate) use remover::{RemovalError, Remover};
