//! Query documents: parsed, held against [`DocumentLimits`], and kept for the next request with the
//! same text.

use std::sync::Arc;

use async_graphql::parser::{
    self, parse_query,
    types::{DocumentOperations, ExecutableDocument, OperationType, Selection},
};
use moka::sync::Cache;

use super::limits::{DocumentError, DocumentLimits, check_document, check_text};

/// Bytes of query text that the cache holds. A parsed document takes some ten times its text.
const CACHED_TEXT_BYTES: u64 = 512 * 1024;

/// Longer texts are not cached: a few of them would push out all others.
const CACHED_TEXT_LENGTH: usize = 16 * 1024;

const TYPENAME: &str = "__typename";

/// Parses and checks documents. Clones share one cache.
///
/// Only a document that takes all of its values from variables is kept: a value that is written into
/// the text may be a password.
#[derive(Clone, Debug)]
pub struct Documents {
    limits: DocumentLimits,
    cache: Cache<Arc<str>, Arc<Document>>,
}

/// A document within bounds.
#[derive(Clone, Debug)]
pub struct Document {
    /// For [`async_graphql::Request::set_parsed_query`].
    pub executable: ExecutableDocument,
    /// Whether any of it reads claims, which takes long.
    pub reads_claims: bool,
}

/// A document within bounds, and which of its operations is to run.
#[derive(Clone, Debug)]
pub struct CheckedDocument {
    /// The document.
    pub document: Arc<Document>,
    /// Query, mutation or subscription.
    pub operation: OperationType,
    /// What the operation is called, where it has a name.
    pub name: Option<String>,
}

impl CheckedDocument {
    /// The one field of the schema's root that the operation selects, besides `__typename`; none when
    /// there are several, or fragments.
    pub fn root_field(&self) -> Option<&str> {
        let operation = match (&self.document.executable.operations, &self.name) {
            (DocumentOperations::Single(operation), _) => operation,
            (DocumentOperations::Multiple(operations), name) => operations.get(name.as_deref()?)?,
        };
        let mut root_field = None;
        for selection in &operation.node.selection_set.node.items {
            let Selection::Field(field) = &selection.node else {
                return None;
            };
            match (field.node.name.node.as_str(), root_field) {
                (TYPENAME, _) => {}
                (name, None) => root_field = Some(name),
                (_, Some(_)) => return None,
            }
        }
        Some(root_field.unwrap_or(TYPENAME))
    }

    /// Whether an operation of the document declares the variable.
    pub fn declares(&self, variable: &str) -> bool {
        let mut operations = self.document.executable.operations.iter();
        operations.any(|(_, operation)| {
            let mut declared = operation.node.variable_definitions.iter();
            declared.any(|definition| definition.node.name.node == variable)
        })
    }
}

impl Documents {
    /// With an empty cache.
    pub fn new(limits: DocumentLimits) -> Self {
        let cache = Cache::builder()
            .max_capacity(CACHED_TEXT_BYTES)
            .weigher(|text: &Arc<str>, _| u32::try_from(text.len()).unwrap_or(u32::MAX))
            .build();
        Self { limits, cache }
    }

    /// Parses and checks `text`, and finds the operation that `operation_name` means: it may be absent
    /// where the document has one operation only.
    ///
    /// # Errors
    ///
    /// What is wrong with the document, the first thing found.
    pub fn check(
        &self,
        text: &str,
        operation_name: Option<&str>,
    ) -> Result<CheckedDocument, DocumentError> {
        let document = self.document(text)?;
        let (operation, name) = find_operation(&document.executable, operation_name)?;
        Ok(CheckedDocument {
            document,
            operation,
            name,
        })
    }

    fn document(&self, text: &str) -> Result<Arc<Document>, DocumentError> {
        if let Some(document) = self.cache.get(text) {
            return Ok(document);
        }
        check_text(text, &self.limits)?;
        let executable = parse_query(text).map_err(|error| parse_error(&error))?;
        let findings = check_document(&executable, &self.limits)?;
        let document = Arc::new(Document {
            executable,
            reads_claims: findings.reads_claims,
        });
        if !findings.holds_values && text.len() <= CACHED_TEXT_LENGTH {
            self.cache.insert(text.into(), Arc::clone(&document));
        }
        Ok(document)
    }
}

fn find_operation(
    document: &ExecutableDocument,
    wanted: Option<&str>,
) -> Result<(OperationType, Option<String>), DocumentError> {
    match (&document.operations, wanted) {
        (DocumentOperations::Single(operation), None) => Ok((operation.node.ty, None)),
        (DocumentOperations::Single(_), Some(_)) => Err(DocumentError::UnknownOperation),
        (DocumentOperations::Multiple(operations), Some(wanted)) => operations
            .get_key_value(wanted)
            .map(|(name, operation)| (operation.node.ty, Some(name.to_string())))
            .ok_or(DocumentError::UnknownOperation),
        (DocumentOperations::Multiple(operations), None) => {
            let mut operations = operations.iter();
            match (operations.next(), operations.next()) {
                (Some((name, operation)), None) => Ok((operation.node.ty, Some(name.to_string()))),
                _ => Err(DocumentError::OperationNameMissing),
            }
        }
    }
}

/// The parser's own message quotes the line that it stumbled over, which may hold a password.
fn parse_error(error: &parser::Error) -> DocumentError {
    let position = error.positions().next();
    match (error, position) {
        (parser::Error::MissingOperation, _) => DocumentError::NoOperation,
        (parser::Error::Syntax { .. }, Some(position)) => DocumentError::Syntax(position),
        _ => DocumentError::Definitions(position),
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::Pos;
    use rstest::rstest;

    use super::*;

    fn documents() -> Documents {
        Documents::new(DocumentLimits::default())
    }

    #[rstest]
    #[case("query A { a }", true)]
    #[case("query A($a: Int) { a(b: $a) }", true)]
    #[case(r#"mutation { signIn(password: "hunter2") }"#, false)]
    #[case("mutation { resumeConnection(input: 123456) }", false)]
    fn only_documents_without_values_are_kept(#[case] query: &str, #[case] kept: bool) {
        let documents = documents();
        let first = documents.check(query, None).expect("fine");
        let second = documents.check(query, None).expect("fine");
        assert_eq!(Arc::ptr_eq(&first.document, &second.document), kept);
    }

    #[test]
    fn long_texts_are_not_kept_and_the_cache_is_bounded() {
        let documents = documents();
        let long = format!("{{ a }} # {}", "x".repeat(CACHED_TEXT_LENGTH));
        documents.check(&long, None).expect("fine");
        assert!(documents.cache.get(long.as_str()).is_none());
        for n in 0..100 {
            let query = format!("{{ a{n} }} # {}", "x".repeat(10_000));
            documents.check(&query, None).expect("fine");
        }
        documents.cache.run_pending_tasks();
        assert!(documents.cache.weighted_size() <= CACHED_TEXT_BYTES);
    }

    #[rstest]
    #[case("{ a }", None, OperationType::Query, None)]
    #[case("mutation M { a }", None, OperationType::Mutation, Some("M"))]
    #[case(
        "query Q { a } subscription S { a }",
        Some("S"),
        OperationType::Subscription,
        Some("S")
    )]
    fn the_operation_is_found(
        #[case] query: &str,
        #[case] wanted: Option<&str>,
        #[case] kind: OperationType,
        #[case] name: Option<&str>,
    ) {
        let checked = documents().check(query, wanted).expect("fine");
        assert_eq!(checked.operation, kind);
        assert_eq!(checked.name.as_deref(), name);
    }

    #[rstest]
    #[case("{ a }", Some("A"), DocumentError::UnknownOperation)]
    #[case("query A { a }", Some("B"), DocumentError::UnknownOperation)]
    #[case(
        "query A { a } query B { a }",
        None,
        DocumentError::OperationNameMissing
    )]
    #[case("fragment F on T { a }", None, DocumentError::NoOperation)]
    #[case("{ a(b: \"hunter2\" }", None, DocumentError::Syntax(Pos { line: 1, column: 18 }))]
    #[case("", None, DocumentError::Syntax(Pos { line: 1, column: 1 }))]
    fn what_is_wrong_is_told(
        #[case] query: &str,
        #[case] wanted: Option<&str>,
        #[case] expected: DocumentError,
    ) {
        let refused = documents().check(query, wanted);
        assert_eq!(refused.expect_err("refused"), expected);
    }

    #[rstest]
    #[case("{ me { id } }", Some("me"))]
    #[case("query Q { mine: me { id } __typename }", Some("me"))]
    #[case("{ __typename }", Some("__typename"))]
    #[case("{ me { id } operation { id } }", None)]
    #[case("{ ...F } fragment F on Query { me { id } }", None)]
    fn the_root_field_is_found(#[case] query: &str, #[case] field: Option<&str>) {
        let checked = documents().check(query, None).expect("fine");
        assert_eq!(checked.root_field(), field);
    }

    #[test]
    fn declared_variables_are_known() {
        let checked = documents().check("query($a: Int, $b: Int) { a }", None);
        let checked = checked.expect("fine");
        assert!(checked.declares("a") && checked.declares("b") && !checked.declares("c"));
    }

    #[rstest]
    #[case("query A { a } query A { a }")]
    #[case("{ a } query A { a }")]
    #[case("{ a } fragment F on T { a } fragment F on T { a }")]
    fn definitions_that_collide_are_told(#[case] query: &str) {
        let refused = documents().check(query, None).expect_err("refused");
        assert!(matches!(refused, DocumentError::Definitions(Some(_))));
    }
}
