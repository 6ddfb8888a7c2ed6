//! The integration tests, in one binary.

mod intuned_client;
mod intuned_support;
