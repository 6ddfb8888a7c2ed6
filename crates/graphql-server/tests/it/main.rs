//! Integration tests in one binary, on a schema of their own.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails on the spot"
)]

mod batches;
mod completion;
mod connections;
mod execution;
mod hosts;
mod log;
mod logs;
mod multipart;
mod negotiation;
mod origins;
mod persisted;
mod request_ids;
mod requests;
mod streams;
mod test_accounts;
mod test_schema;
mod test_server;
mod websocket_client;
mod websocket_init;
mod websocket_limits;
mod websocket_protocol;
