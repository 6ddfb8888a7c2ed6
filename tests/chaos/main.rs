//! A chaos run: `scripts/chaos --help`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a program for tests: what cannot go on fails on the spot, and the report is for people"
)]

#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../it/support/api.rs"]
mod api;
mod args;
#[path = "../it/support/canaries.rs"]
mod canaries;
mod check;
mod client;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../it/support/database.rs"]
mod database;
mod follow;
mod in_flight;
mod pick_up;
mod plan;
mod postgres;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../it/support/process.rs"]
mod process;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../it/support/proxy.rs"]
mod proxy;
mod replicas;
mod report;
mod run;
#[expect(dead_code, reason = "shared with tests that use more of it")]
#[path = "../it/support/socket.rs"]
mod socket;
mod take_over;
mod upstream;

use std::process::ExitCode;

use clap::Parser;

#[tokio::main]
async fn main() -> ExitCode {
    let args = args::Args::parse();
    let all_is_well = match (args.pick_up, args.take_over) {
        (Some(count), _) => pick_up::run(count).await,
        (None, Some(kills)) => take_over::run(kills, args.seed).await,
        (None, None) => run::run(&args).await,
    };
    if all_is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
