//! The platform: what every part stands on, and what knows nothing of the product.

pub(crate) mod batch_loader;
