//! The command line.

use clap::Parser;

/// Gateways that are killed, stopped and cut off while users connect, follow, answer and disconnect;
/// then a check that nothing was lost, duplicated or contradicted.
#[derive(Clone, Debug, Parser)]
#[command(name = "scripts/chaos")]
pub(crate) struct Args {
    /// How long things go wrong; settling and checking come after it
    #[arg(long, default_value_t = 25)]
    pub(crate) seconds: u64,
    /// What goes wrong and when, and what users do, follow from it
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Gateways on one database
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub(crate) replicas: u8,
    /// Users, each with a client that never rests
    #[arg(long, default_value_t = 20)]
    pub(crate) users: u16,
    /// Instead of all that: so many operations in flight, a gateway that starts, and how soon it has
    /// asked about each of them
    #[arg(long)]
    pub(crate) pick_up: Option<u32>,
    /// Instead of all that: so many times the gateway that drives operations is killed while another one
    /// stands by, and how soon that one drives them on
    #[arg(long, conflicts_with = "pick_up")]
    pub(crate) take_over: Option<u32>,
}
