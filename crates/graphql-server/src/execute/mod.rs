//! Execution: runs operations against the schema and completes the results.

pub(crate) mod completion;
mod executor;
pub(crate) mod introspection;
mod result;
pub(crate) mod service;
pub mod written;

#[cfg(feature = "fuzzing")]
pub(crate) use executor::Execute;
pub use executor::SchemaExecutor;
pub use result::ExecutionResult;
