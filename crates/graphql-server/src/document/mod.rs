//! Query documents: found, parsed, checked against limits, and cached for the next request.

mod cache;
mod completion_plan;
mod error;
mod hash;
pub mod limits;
mod policy;
mod reader;
pub mod trusted;
mod types;
mod variables;

pub use cache::{DocumentSource, Documents};
pub(crate) use completion_plan::{CompletionPlan, TYPE_KEY, condition, is_of_introspection};
pub use error::DocumentError;
pub use limits::DocumentLimits;
pub use policy::{FieldPolicy, PagedField};
pub use reader::{Document, DocumentExtension, DocumentReader, PreparedDocument};
pub use types::{RootField, SchemaTypes};
