//! Query documents: found, parsed, checked against limits, and cached for the next request.

mod cache;
mod error;
pub mod limits;
mod policy;
mod reader;
pub mod trusted;
mod types;
mod variables;

pub use cache::{DocumentSource, Documents};
pub use error::DocumentError;
pub use limits::DocumentLimits;
pub use policy::{FieldPolicy, PagedField};
pub use reader::{Document, DocumentReader, Kept, PreparedDocument};
pub use types::SchemaTypes;
