//! The platform: what every part stands on, and what knows nothing of the product.

pub(crate) mod batch_loader;
pub mod crash;
pub mod database;
pub mod metrics;
pub mod telemetry;
