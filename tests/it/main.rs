//! The integration tests: one binary, a module for each thing that is tested.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails on the spot"
)]

mod account_limits;
mod account_sessions;
mod accounts;
mod answers;
mod astray;
mod audit;
mod claims;
mod clocks;
mod connect_limits;
mod connections;
mod database_addresses;
mod database_lanes;
mod database_moves;
mod database_poolers;
mod database_tls;
mod deletion;
mod ends;
mod faults;
mod health;
mod holds;
mod house;
mod http2;
mod http_cookies;
mod idempotency;
mod identity_provider;
mod identity_tokens;
mod introspection;
mod intuned_client;
mod intuned_faults;
mod intuned_results;
mod intuned_runs;
mod intuned_simulator;
mod intuned_support;
mod leases;
mod loops;
mod map;
mod memory;
mod metrics;
mod migrations;
mod notifications;
mod operations;
mod outbound;
mod passwords;
mod processes;
mod read_budgets;
mod reassignment;
mod renewals;
mod replicas;
mod request_ids;
mod retention;
mod secrets;
mod settings;
mod settings_docs;
mod settings_files;
mod settings_mistakes;
mod settings_mode;
mod standstill;
mod status_budgets;
mod support;
mod telemetry;
#[path = "../../crates/graphql-server/tests/it/test_accounts.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod test_accounts;
#[path = "../../crates/graphql-server/tests/it/test_schema.rs"]
mod test_schema;
#[path = "../../crates/graphql-server/tests/it/test_server.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod test_server;
mod trusted_documents;
mod webhooks;
#[path = "../../crates/graphql-server/tests/it/websocket_client.rs"]
#[expect(dead_code, reason = "shared with tests that use more of it")]
mod websocket_client;
mod workspaces;
