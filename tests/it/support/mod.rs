//! What the tests share.

mod api;
mod app;
pub(crate) mod canaries;
mod collector;
mod database;
pub(crate) mod identity_provider;
mod log;
mod pgbouncer;
pub(crate) mod places;
mod postgres;
#[expect(dead_code, reason = "shared with tests that use more of it")]
pub(crate) mod process;
mod proxy;
mod receiver;
pub(crate) mod socket;
pub(crate) mod tls;
mod wait;

pub(crate) use api::Api;
pub(crate) use app::{Asked, Replica, Setup, TestApp};
pub(crate) use canaries::API_KEY;
pub(crate) use collector::Collector;
pub(crate) use database::{Backend, TestDatabase, waiting};
pub(crate) use log::Log;
pub(crate) use pgbouncer::PgBouncer;
pub(crate) use postgres::PostgresServer;
pub(crate) use process::Process;
pub(crate) use proxy::Proxy;
pub(crate) use receiver::{Received, Receiver, Reply, WEBHOOK_SECRET};
pub(crate) use wait::eventually;
