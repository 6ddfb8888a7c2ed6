//! The integration tests: one binary, a module for each thing that is tested.

#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking, their helpers too"
)]

mod http_connections;
mod http_logs;
mod http_requests;
mod http_streams;
mod http_toy;
mod websocket_client;
mod websocket_limits;
mod websocket_protocol;
