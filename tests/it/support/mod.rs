//! What the tests share.

mod api;
mod app;
mod database;
mod socket;

pub(crate) use api::Api;
pub(crate) use app::{API_KEY, Replica, Setup, TestApp, eventually};
pub(crate) use database::Backend;
pub(crate) use socket::{DEADLINE, Socket};
