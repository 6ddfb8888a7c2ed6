//! The integration tests: one binary, a module for each thing that is tested.

mod http_connections;
mod http_requests;
mod http_streams;
mod http_toy;
mod websocket_client;
mod websocket_limits;
mod websocket_protocol;
