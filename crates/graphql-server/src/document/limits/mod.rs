//! Limits on a query document, checked before it is executed.
//!
//! async-graphql limits the depth, the complexity and the directives of one field, but neither the length
//! nor aliases nor root fields. It walks the document field by field before it limits anything, so
//! fragments that are spread many times cost time. Here each fragment is measured once.

mod measure;
mod text;

pub(crate) use self::measure::Findings;
pub(super) use self::{measure::check_document, text::check_text};

/// Limits on a document.
///
/// Fields, aliases and directives of a fragment count each time that it is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DocumentLimits {
    /// Bytes of the text. Parsing takes time for each byte, even of a comment.
    pub length: usize,
    /// Lexical tokens, counted before parsing.
    pub tokens: usize,
    /// Levels of nested fields.
    pub depth: usize,
    /// Levels of nested fields below `__schema` and `__type`.
    pub introspection_depth: usize,
    /// Fields, including those of introspection.
    pub complexity: usize,
    /// Fields of an operation's root type.
    pub root_fields: usize,
    /// Fields with an alias.
    pub aliases: usize,
    /// Directives.
    pub directives: usize,
    /// Allows introspection.
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
