//! Users audit trails.
