//! The gateway's tables as `SeaORM` entities, and nothing else.
//!
//! Instants are stored as milliseconds since the Unix epoch, so that both databases compare and
//! order them alike. Enumerations are stored as the names that GraphQL shows.

pub mod audit_event;
pub mod connection;
pub mod kept_status;
pub mod known_client;
pub mod operation;
pub mod operation_event;
pub mod replica;
pub mod revocation;
pub mod session;
pub mod session_removal;
pub mod tries;
pub mod user;
pub mod webhook_delivery;
pub mod workspace_mark;

pub use sea_orm::entity::prelude::ChronoUnixTimestampMillis as Millis;
