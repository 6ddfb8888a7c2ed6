//! Bounds on what a query document may ask for, checked before anything of it runs.
//!
//! async-graphql bounds the depth, the complexity and the directives of one field, but only after it
//! has walked the document field by field, so that fragments spread many times over cost time before
//! they are refused, and it bounds neither the length nor aliases nor root fields. Here each fragment
//! is measured once.

mod measure;
mod text;

pub(crate) use self::measure::Findings;
pub(super) use self::{measure::check_document, text::check_text};

/// How much a document may ask for. Fields, aliases and directives of a fragment count each time that
/// it is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Bytes of the text: parsing takes time for each, also where it is one token or a comment.
    pub length: usize,
    /// Lexical tokens, counted before parsing.
    pub tokens: usize,
    /// Fields within fields.
    pub depth: usize,
    /// Fields within fields below `__schema` and `__type`.
    pub introspection_depth: usize,
    /// Fields, introspection included.
    pub complexity: usize,
    /// Fields of an operation's root type.
    pub root_fields: usize,
    /// Fields that are given another name.
    pub aliases: usize,
    /// Directives.
    pub directives: usize,
    /// Whether it may ask for the schema.
    pub introspection: bool,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            length: 64 * 1024,
            tokens: 2_000,
            depth: 8,
            introspection_depth: 16,
            complexity: 300,
            root_fields: 15,
            aliases: 15,
            directives: 50,
            introspection: true,
        }
    }
}
