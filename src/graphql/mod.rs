//! TODO

pub mod documents;
pub mod limits;
