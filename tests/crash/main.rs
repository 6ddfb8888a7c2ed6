//! The gateway's own process dies at each named point, is started again, and what must hold holds.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails on the spot"
)]

#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../it/support/api.rs"]
mod api;
#[path = "../it/support/canaries.rs"]
mod canaries;
mod connect;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../it/support/database.rs"]
mod database;
mod passcode;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../it/support/process.rs"]
mod process;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../it/support/receiver.rs"]
mod receiver;
mod removal;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../it/support/socket.rs"]
mod socket;
mod stage;
#[path = "../it/support/wait.rs"]
mod wait;
mod webhook;
