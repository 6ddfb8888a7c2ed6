//! A GraphQL gateway with subscriptions in front of Intuned.
//!
//! A signed-in user connects an `OrangeHRM` account, watches the sign-in live, answers a passcode
//! prompt where one comes, and reads claims. Intuned does the browser work and offers polling only;
//! the gateway turns that into a durable operation and a push stream.
//!
//! Dependencies point one way: [`app`] → [`settings`], [`api`] → [`operations`], [`connections`], [`accounts`],
//! [`audit`]. [`app`] builds every part and hands it what it needs.

pub mod accounts;
pub mod api;
pub mod app;
pub mod audit;
pub mod connections;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
pub mod operations;
pub mod platform;
pub mod settings;
pub mod webhooks;
