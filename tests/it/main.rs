//! The integration tests, in one binary.

#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails on the spot"
)]

mod intuned_client;
mod intuned_faults;
mod intuned_runs;
mod intuned_simulator;
mod intuned_support;
