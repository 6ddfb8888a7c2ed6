//! Execution: runs operations against the schema and completes the results.

mod completion;
mod executor;
pub(crate) mod introspection;
mod result;
pub mod written;

#[cfg(feature = "fuzzing")]
pub(crate) use executor::Execute;
pub use executor::SchemaExecutor;
pub use result::ExecutionResult;
