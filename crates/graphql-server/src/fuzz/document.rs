//! Fuzz target for documents.

#![expect(
    clippy::missing_panics_doc,
    reason = "a fuzz target tells what is wrong by a panic"
)]

use async_graphql::{
    EmptyMutation, EmptySubscription, Object,
    parser::{
        parse_query,
        types::{ExecutableDocument, Selection, SelectionSet},
    },
};

use super::{CANARY, assert_no_canary};
use crate::document::{
    DocumentError, DocumentLimits, DocumentReader, DocumentSource, Documents, FieldPolicy,
    SchemaTypes,
};

/// Root of a small schema.
struct Query;

#[Object]
impl Query {
    async fn nothing(&self) -> bool {
        false
    }
}

/// Types of the small schema.
pub(super) fn types() -> SchemaTypes {
    SchemaTypes::new::<Query, EmptyMutation, EmptySubscription>(&FieldPolicy::default())
}

/// Checks a document against the limits.
///
/// Accepted documents are within all limits by another count. Refused ones are not quoted.
pub fn document(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let wanted = DocumentSource::Text(text.to_owned());
    let limits = DocumentLimits::default();
    let documents = Documents::new(DocumentReader::new(limits, types()), 0, None);
    let first = documents.find(&wanted, None);
    match &first {
        Ok(_) => {
            let sent = parse_query(text);
            assert!(sent.is_ok(), "it does not parse");
            if let Ok(sent) = sent {
                assert_within(&sent, &limits);
            }
        }
        Err(error) => {
            assert_no_canary(&format!("{error} {error:?}"));
            assert!(!error.code().is_empty());
        }
    }
    let again = documents.find(&wanted, None);
    // Any of several faults may be found first.
    assert_eq!(again.is_ok(), first.is_ok(), "the cache answers otherwise");
    let unknown = documents.find(&wanted, Some(CANARY));
    if let Err(error) = unknown {
        assert_no_canary(&error.to_string());
    } else {
        assert!(text.contains(CANARY));
    }
    if let Err(DocumentError::Syntax(_)) = documents.find(&wanted, None) {
        assert!(parse_query(text).is_err(), "it parses");
    }
}

/// Counts by walking each operation with every fragment expanded, which ends soon for documents within
/// limits.
fn assert_within(document: &ExecutableDocument, limits: &DocumentLimits) {
    for (_, operation) in document.operations.iter() {
        let set = &operation.node.selection_set.node;
        let mut count = Count {
            document,
            limits,
            steps: 0,
            fields: 0,
            aliases: 0,
            directives: operation.node.directives.len(),
        };
        count.walk(set, 0, false);
        assert!(count.fields <= limits.complexity);
        assert!(count.aliases <= limits.aliases);
        assert!(count.directives <= limits.directives);
    }
}

struct Count<'a> {
    document: &'a ExecutableDocument,
    limits: &'a DocumentLimits,
    steps: usize,
    fields: usize,
    aliases: usize,
    directives: usize,
}

impl Count<'_> {
    fn walk(&mut self, set: &SelectionSet, depth: usize, introspection: bool) {
        for selection in &set.items {
            self.steps += 1;
            assert!(self.steps <= 100_000, "walking it takes for ever");
            self.directives += selection.node.directives().len();
            match &selection.node {
                Selection::Field(field) => {
                    let field = &field.node;
                    self.fields += 1;
                    self.aliases += usize::from(field.alias.is_some());
                    let enters = matches!(field.name.node.as_str(), "__schema" | "__type");
                    let (depth, introspection) = match (enters, introspection) {
                        (true, _) => (1, true),
                        (false, inside) => (depth + 1, inside),
                    };
                    let limit = if introspection {
                        self.limits.introspection_depth
                    } else {
                        self.limits.depth
                    };
                    assert!(depth <= limit, "too deep");
                    self.walk(&field.selection_set.node, depth, introspection);
                }
                Selection::InlineFragment(fragment) => {
                    self.walk(&fragment.node.selection_set.node, depth, introspection);
                }
                Selection::FragmentSpread(spread) => {
                    let name = &spread.node.fragment_name.node;
                    if let Some(fragment) = self.document.fragments.get(name) {
                        self.directives += fragment.node.directives.len();
                        self.walk(&fragment.node.selection_set.node, depth, introspection);
                    }
                }
            }
        }
    }
}
