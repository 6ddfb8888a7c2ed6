//! Document cache: finds documents by their text or hash, and keeps them for the next request.

use std::sync::Arc;

use moka::sync::Cache;
use sha2::{Digest, Sha256};

use super::{
    DocumentError, DocumentReader, PreparedDocument, reader::Document, trusted::TrustedDocuments,
};

/// Upper bound of the bytes of parsed documents in the cache, estimated.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// Estimated bytes of a cached document, by itself and for each token of its text.
const DOCUMENT_BYTES: usize = 2_000;
const TOKEN_BYTES: usize = 400;

/// Bytes that the cache needs for a persisted text besides the text itself.
const PERSISTED_OVERHEAD: usize = 200;

/// Prefix of ids that are SHA-256 hashes. It is removed before ids are compared.
///
/// <https://github.com/graphql/graphql-over-http/blob/main/spec/Appendix%20A%20--%20Persisted%20Documents.md>
const HASH_PREFIX: &str = "sha256:";

/// Finds documents, and caches those whose values all come from variables.
///
/// A value in the text itself may be a password. Clones share one cache.
#[derive(Clone, Debug)]
pub struct Documents {
    reader: DocumentReader,
    cache: Cache<Arc<str>, Arc<Document>>,
    /// Texts by their hash, for automatic persisted queries; none when those are switched off.
    persisted: Option<Cache<String, Arc<str>>>,
    /// Trusted documents; where there are any, no other document runs.
    trusted: Option<TrustedDocuments>,
}

/// Source of the document of a request. It may hold secrets, so it does not implement `Debug`.
#[derive(Clone)]
pub enum DocumentSource {
    /// The document's text.
    Text(String),
    /// The document's id, with or without the text.
    Id {
        /// SHA-256 of the text in hexadecimal digits, for automatic persisted queries.
        id: String,
        /// Text of the document, to be persisted.
        text: Option<String>,
    },
    /// An unsupported version of automatic persisted queries.
    UnknownVersion,
}

impl Documents {
    /// Creates an empty cache.
    ///
    /// Up to `persisted_bytes` of texts are kept for clients that send their hashes; 0 switches that off.
    /// With `trusted` documents, no others run.
    pub fn new(
        reader: DocumentReader,
        persisted_bytes: u64,
        trusted: Option<TrustedDocuments>,
    ) -> Self {
        let cache = Cache::builder()
            .max_capacity(KEPT_BYTES)
            .weigher(|text: &Arc<str>, document: &Arc<Document>| {
                let parsed = DOCUMENT_BYTES + document.tokens * TOKEN_BYTES;
                u32::try_from(text.len() + parsed).unwrap_or(u32::MAX)
            })
            .build();
        let persisted = (persisted_bytes > 0).then(|| {
            let weigh = |_: &String, text: &Arc<str>| {
                u32::try_from(text.len() + PERSISTED_OVERHEAD).unwrap_or(u32::MAX)
            };
            let builder = Cache::builder().max_capacity(persisted_bytes);
            builder.weigher(weigh).build()
        });
        Self {
            reader,
            cache,
            persisted,
            trusted,
        }
    }

    /// Names the mutations that take a secret, as part of a sentence.
    pub(crate) fn secret_mutations(&self) -> Arc<str> {
        self.reader.types().secret_mutations()
    }

    /// Finds the document and the operation that `operation_name` selects, parsed and checked.
    ///
    /// The name may be absent where the document has a single operation.
    ///
    /// # Errors
    ///
    /// The first fault that is found in the document.
    pub fn find(
        &self,
        wanted: &DocumentSource,
        operation_name: Option<&str>,
    ) -> Result<PreparedDocument, DocumentError> {
        let document = match (wanted, &self.trusted) {
            (DocumentSource::UnknownVersion, _) => {
                return Err(DocumentError::PersistedNotSupported);
            }
            (DocumentSource::Text(text), None) => self.document(text)?,
            (DocumentSource::Id { id, text }, None) => self.persisted(id, text.as_deref())?,
            (DocumentSource::Id { id, text: None }, Some(trusted)) => trusted.by_id(id)?,
            (
                DocumentSource::Text(text)
                | DocumentSource::Id {
                    text: Some(text), ..
                },
                Some(trusted),
            ) => trusted.by_text(text)?,
        };
        PreparedDocument::new(document, operation_name)
    }

    fn document(&self, text: &str) -> Result<Arc<Document>, DocumentError> {
        if let Some(document) = self.cache.get(text) {
            return Ok(document);
        }
        let document = Arc::new(self.reader.read(text)?);
        if document.may_be_kept {
            self.cache.insert(text.into(), Arc::clone(&document));
        }
        Ok(document)
    }

    /// Finds a document of Apollo's automatic persisted queries.
    ///
    /// A document that was sent with its hash once can be requested by the hash alone.
    ///
    /// <https://www.apollographql.com/docs/apollo-server/performance/apq>
    fn persisted(&self, id: &str, text: Option<&str>) -> Result<Arc<Document>, DocumentError> {
        let Some(persisted) = &self.persisted else {
            return Err(DocumentError::PersistedNotSupported);
        };
        let id = strip_prefix(id);
        let Some(text) = text else {
            let text = persisted.get(id).ok_or(DocumentError::PersistedNotFound)?;
            return self.document(&text);
        };
        let document = self.document(text)?;
        if hash(text) != id {
            return Err(DocumentError::PersistedMismatch);
        }
        if document.may_be_kept && !persisted.contains_key(id) {
            persisted.insert(id.to_owned(), text.into());
        }
        Ok(document)
    }
}

/// Computes the text's SHA-256 in lower-case hexadecimal digits.
pub(super) fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// Removes the prefix that marks an id as a hash.
pub(super) fn strip_prefix(id: &str) -> &str {
    id.strip_prefix(HASH_PREFIX).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    use async_graphql::{Pos, parser::types::OperationType};
    use rstest::rstest;

    use super::*;
    use crate::toy;

    fn documents() -> Documents {
        Documents::new(toy::reader(), 10_000, None)
    }

    fn by_text(
        documents: &Documents,
        text: &str,
        operation_name: Option<&str>,
    ) -> Result<PreparedDocument, DocumentError> {
        documents.find(&DocumentSource::Text(text.to_owned()), operation_name)
    }

    fn by_hash(
        documents: &Documents,
        id: &str,
        text: Option<&str>,
    ) -> Result<PreparedDocument, DocumentError> {
        let (id, text) = (id.to_owned(), text.map(str::to_owned));
        documents.find(&DocumentSource::Id { id, text }, None)
    }

    #[rstest]
    #[case("query A { a }", true)]
    #[case("query A($a: Int) { a(b: $a) }", true)]
    #[case(r#"mutation { signIn(password: "hunter2") }"#, false)]
    #[case("mutation { answer(input: 123456) }", false)]
    fn only_documents_without_values_are_kept(#[case] query: &str, #[case] kept: bool) {
        let documents = documents();
        let first = by_text(&documents, query, None).expect("fine");
        let second = by_text(&documents, query, None).expect("fine");
        assert_eq!(Arc::ptr_eq(&first.document, &second.document), kept);
    }

    #[test]
    fn long_texts_are_not_kept_and_the_cache_is_bounded() {
        let documents = documents();
        let long = format!("{{ a }} # {}", "x".repeat(16 * 1024));
        by_text(&documents, &long, None).expect("fine");
        assert!(documents.cache.get(long.as_str()).is_none());
        for n in 0..20_000 {
            by_text(&documents, &format!("{{ a{n} }}"), None).expect("fine");
        }
        documents.cache.run_pending_tasks();
        assert!(documents.cache.weighted_size() <= KEPT_BYTES);
        // As many as that, however short they are.
        let most = KEPT_BYTES / u64::try_from(DOCUMENT_BYTES).expect("few");
        assert!((100..=most).contains(&documents.cache.entry_count()));
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
        let checked = by_text(&documents(), query, wanted).expect("fine");
        assert_eq!(checked.kind, kind);
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
        let refused = by_text(&documents(), query, wanted);
        assert_eq!(refused.expect_err("refused"), expected);
    }

    #[rstest]
    #[case("{ me { id } }", Some("me"))]
    #[case("query Q { mine: me { id } __typename }", Some("me"))]
    #[case("{ __typename }", Some("__typename"))]
    #[case("{ me { id } operation { id } }", None)]
    #[case("{ ...F } fragment F on Query { me { id } }", None)]
    fn the_root_field_is_found(#[case] query: &str, #[case] field: Option<&str>) {
        let checked = by_text(&documents(), query, None).expect("fine");
        assert_eq!(checked.root_field(), field);
    }

    #[rstest]
    #[case("{ __schema { types { name } } __typename }", true)]
    #[case("query Q { a: __type(name: \"User\") { name } me { id } }", true)]
    #[case("{ ...F } fragment F on Query { __schema { types { name } } }", true)]
    #[case("query A { __schema { types { name } } } query B { me { id } }", true)]
    #[case("{ __typename }", false)]
    #[case("{ me { id __typename } }", false)]
    fn introspection_is_told_apart(#[case] query: &str, #[case] introspects: bool) {
        let read = toy::reader().read(query).expect("fine");
        assert_eq!(read.findings.introspects, introspects);
    }

    #[rstest]
    #[case("query A { a } query A { a }")]
    #[case("{ a } query A { a }")]
    #[case("{ a } fragment F on T { a } fragment F on T { a }")]
    fn definitions_that_collide_are_told(#[case] query: &str) {
        let refused = by_text(&documents(), query, None).expect_err("refused");
        assert!(matches!(refused, DocumentError::Definitions(Some(_))));
    }

    #[test]
    fn a_document_that_came_with_its_hash_is_found_by_it() {
        let documents = documents();
        let text = "{ a }";
        let id = hash(text);
        assert_eq!(
            id,
            "1c7e1e347f726166b5b1c55afd61f278cc9b45e00c108ec33d540a566379811b"
        );
        let missing = by_hash(&documents, &id, None).err();
        assert_eq!(missing, Some(DocumentError::PersistedNotFound));
        by_hash(&documents, &id, Some(text)).expect("kept");
        by_hash(&documents, &id, None).expect("found");
        by_hash(&documents, &format!("sha256:{id}"), None).expect("found");
    }

    #[test]
    fn another_documents_hash_is_refused_and_nothing_is_kept() {
        let documents = documents();
        let id = hash("{ a }");
        let refused = by_hash(&documents, &id, Some("{ b }")).err();
        assert_eq!(refused, Some(DocumentError::PersistedMismatch));
        let refused = by_hash(&documents, &id, None).err();
        assert_eq!(refused, Some(DocumentError::PersistedNotFound));
    }

    #[rstest]
    #[case(r#"mutation { signIn(password: "hunter2") }"#)]
    #[case("{ a { a { a { a { a { a { a { a { a } } } } } } } } }")]
    #[case("{ a")]
    fn documents_with_values_or_beyond_the_limits_are_not_persisted(#[case] text: &str) {
        let documents = documents();
        let id = hash(text);
        let _ = by_hash(&documents, &id, Some(text));
        let missing = by_hash(&documents, &id, None).err();
        assert_eq!(missing, Some(DocumentError::PersistedNotFound));
    }

    #[test]
    fn what_is_persisted_is_bounded_and_can_be_switched_off() {
        let documents = documents();
        for n in 0..100 {
            let text = format!("{{ a{n} }} # {}", "x".repeat(1_000));
            by_hash(&documents, &hash(&text), Some(&text)).expect("fine");
        }
        let persisted = documents.persisted.expect("switched on");
        persisted.run_pending_tasks();
        assert!((1_000..=10_000).contains(&persisted.weighted_size()));

        let off = Documents::new(toy::reader(), 0, None);
        let refused = by_hash(&off, &hash("{ a }"), Some("{ a }")).err();
        assert_eq!(refused, Some(DocumentError::PersistedNotSupported));
    }
}
