//! What the tests share.

pub(crate) mod api;
pub(crate) mod database;
pub(crate) mod socket;
