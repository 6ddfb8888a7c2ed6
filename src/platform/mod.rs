//! The platform: what every part stands on, and what knows nothing of the product.

pub(crate) mod batch_loader;
pub mod crash;
pub mod database;
pub mod metrics;
mod runtime;
pub(crate) mod shell;
pub(crate) mod single_flight;
pub mod telemetry;

pub use runtime::Runtime;
