//! Measures the gateway beside its peers and the physical limit, in the same run.
//!
//! Run it with `scripts/bench`, which builds what is needed and gives it a database server.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a benchmark that cannot go on fails on the spot, and prints what it measured"
)]

mod accounting;
mod burst;
mod crowd;
mod crowd_report;
mod crowd_worker;
mod database_server;
mod http;
mod listeners;
mod metrics;
mod notify;
mod poller;
mod process;
mod reads;
mod seed;
mod servers;
mod soak;
mod socket;
mod sockets;
mod start;
mod table;
mod unit;
mod upstream;

/// One thread: what sends the load must leave room for the database server beside it.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let part = std::env::args().nth(1).unwrap_or_default();
    match part.as_str() {
        "reads" => reads::run().await,
        "sockets" => sockets::run().await,
        "fanout" => sockets::fanout().await,
        "crowd" => crowd::run().await,
        crowd_worker::PART => crowd_worker::run().await,
        "notify" => notify::run().await,
        "poller" => poller::run().await,
        "burst" => burst::run().await,
        "start" => start::run().await,
        "unit" => unit::run().await,
        "soak" => soak::run().await,
        other => panic!("there is no part {other:?}"),
    }
}
