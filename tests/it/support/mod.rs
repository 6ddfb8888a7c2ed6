//! What the tests share.

mod api;
mod app;
mod database;
pub(crate) mod socket;

pub(crate) use api::Api;
pub(crate) use app::{API_KEY, Setup, TestApp, eventually};
pub(crate) use database::Backend;
