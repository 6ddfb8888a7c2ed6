//! Query documents: found by their text or their hash, parsed, held against [`DocumentLimits`], and kept
//! for the next request.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_graphql::{
    Positioned, Variables,
    parser::{
        self, parse_query,
        types::{
            DocumentOperations, ExecutableDocument, OperationDefinition, OperationType, Selection,
        },
    },
};
use moka::sync::Cache;

use sha2::{Digest, Sha256};

use super::{
    compiled::CompiledEvents,
    completion::Shape,
    limits::{DocumentError, DocumentLimits, check_document, check_text},
    trusted::TrustedDocuments,
    variables::coerce,
};

/// Bytes of parsed documents that are kept, about.
const KEPT_BYTES: u64 = 16 * 1024 * 1024;

/// What a kept document takes at most, about: by itself, and for each token of its text.
const DOCUMENT_BYTES: usize = 2_000;
const TOKEN_BYTES: usize = 400;

/// Longer texts are not cached: a few of them would push out all others.
const CACHED_TEXT_LENGTH: usize = 16 * 1024;

/// Bytes of a kept text besides its own: its hash, and what the cache needs for it.
const PERSISTED_OVERHEAD: usize = 200;

/// The prefix of ids that are SHA-256 hashes, which is left out where ids are compared.
/// <https://github.com/graphql/graphql-over-http/blob/main/spec/Appendix%20A%20--%20Persisted%20Documents.md>
const HASH_PREFIX: &str = "sha256:";
const TYPENAME: &str = "__typename";
const SCHEMA_FIELDS: [&str; 3] = ["__schema", "__type", TYPENAME];

/// Parses and checks documents. Clones share one cache.
///
/// Only a document that takes all of its values from variables is kept: a value that is written into
/// the text may be a password.
#[derive(Clone, Debug)]
pub struct Documents {
    limits: DocumentLimits,
    cache: Cache<Arc<str>, Arc<Document>>,
    /// Texts by their hash, for automatic persisted queries; none when those are switched off.
    persisted: Option<Cache<String, Arc<str>>>,
    /// The only ones that may run, where there are such.
    trusted: Option<TrustedDocuments>,
}

/// How a request says what it wants to run. It may hold secrets, so it cannot be printed.
#[derive(Clone)]
pub enum Wanted {
    /// By the document's text.
    Text(String),
    /// By its id, with or without the text.
    Id {
        /// For automatic persisted queries the text's SHA-256 in hexadecimal digits.
        id: String,
        /// The text, for the gateway to keep.
        text: Option<String>,
    },
    /// By a version of automatic persisted queries that is not known here.
    UnknownVersion,
}

/// A document within bounds.
#[derive(Debug)]
pub struct Document {
    /// For [`async_graphql::Request::set_parsed_query`]: with more fields than the client asks for, where
    /// its answers could not be completed otherwise.
    pub executable: ExecutableDocument,
    /// Whether any of it reads claims, which takes long.
    pub reads_claims: bool,
    /// Whether any of it checks a secret.
    pub checks_secret: bool,
    /// Whether it asks for the schema, and how; none when it does not.
    pub introspection: Option<Introspection>,
    /// Whether its text may be kept: it holds no values, and is not long.
    may_be_kept: bool,
    /// How many tokens its text has.
    tokens: usize,
    /// Whether it was found valid against the schema, which nothing that comes with a request changes.
    valid: AtomicBool,
    /// How its events are written, where async-graphql need not resolve them.
    pub(super) events: Option<Arc<CompiledEvents>>,
    pub(super) shape: Shape,
}

/// A document's SHA-256.
pub type DocumentHash = [u8; 32];

/// How a document asks for the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Introspection {
    /// For nothing else and without variables: whoever sends the document is answered the same.
    Alone(DocumentHash),
    /// In some other way.
    Mixed,
}

impl Introspection {
    /// `introspects` tells whether more than the name of a type is asked for.
    fn of(document: &ExecutableDocument, text: &str, introspects: bool) -> Option<Self> {
        let mut operations = document.operations.iter();
        let (Some((_, operation)), None) = (operations.next(), operations.next()) else {
            return introspects.then_some(Self::Mixed);
        };
        let operation = &operation.node;
        let of_the_schema = |selection: &Positioned<Selection>| match &selection.node {
            Selection::Field(field) => SCHEMA_FIELDS.contains(&field.node.name.node.as_str()),
            _ => false,
        };
        let mut selections = operation.selection_set.node.items.iter();
        if operation.ty == OperationType::Query
            && operation.variable_definitions.is_empty()
            && selections.all(of_the_schema)
        {
            Some(Self::Alone(Sha256::digest(text).into()))
        } else {
            introspects.then_some(Self::Mixed)
        }
    }
}

impl Document {
    /// The operation of this name; the only one, where there is no other.
    pub(super) fn operation(&self, name: Option<&str>) -> Option<&OperationDefinition> {
        match (&self.executable.operations, name) {
            (DocumentOperations::Single(operation), _) => Some(&operation.node),
            (DocumentOperations::Multiple(operations), Some(name)) => {
                operations.get(name).map(|operation| &operation.node)
            }
            (DocumentOperations::Multiple(operations), None) => {
                let mut operations = operations.values();
                operations.next().map(|operation| &operation.node)
            }
        }
    }

    /// Whether validating it again would find nothing.
    pub fn was_found_valid(&self) -> bool {
        self.valid.load(Ordering::Relaxed)
    }

    /// Remembers that it passed validation. Validating one with variables looks at their values too, and
    /// with several operations at the one that is meant: of these it says nothing about the next time.
    pub fn found_valid(&self) {
        let mut operations = self.executable.operations.iter();
        if let (Some((_, operation)), None) = (operations.next(), operations.next())
            && operation.node.variable_definitions.is_empty()
        {
            self.valid.store(true, Ordering::Relaxed);
        }
    }
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
    /// Holds the variables against what the operation declares, and gives absent ones their defaults.
    ///
    /// # Errors
    ///
    /// One is missing, or does not fit.
    pub fn coerce(&self, variables: &mut Variables) -> Result<(), DocumentError> {
        match self.definition() {
            Some(definition) => coerce(definition, &self.document.shape.conditions, variables),
            None => Ok(()),
        }
    }

    fn definition(&self) -> Option<&OperationDefinition> {
        self.document.operation(self.name.as_deref())
    }

    /// The one field of the schema's root that the operation selects, besides `__typename`; none when
    /// there are several, or fragments.
    pub fn root_field(&self) -> Option<&str> {
        let mut root_field = None;
        for selection in &self.definition()?.selection_set.node.items {
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
}

impl Documents {
    /// With an empty cache. Up to `persisted_bytes` of texts are kept for clients that send their hashes,
    /// 0 for none; with `trusted` documents, those alone run.
    pub fn new(
        limits: DocumentLimits,
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
            limits,
            cache,
            persisted,
            trusted,
        }
    }

    /// Finds the document, parses and checks it, and finds the operation that `operation_name` means: it
    /// may be absent where the document has one operation only.
    ///
    /// # Errors
    ///
    /// What is wrong with the document, the first thing found.
    pub fn check(
        &self,
        wanted: &Wanted,
        operation_name: Option<&str>,
    ) -> Result<CheckedDocument, DocumentError> {
        let document = match (wanted, &self.trusted) {
            (Wanted::UnknownVersion, _) => return Err(DocumentError::PersistedNotSupported),
            (Wanted::Text(text), None) => self.document(text)?,
            (Wanted::Id { id, text }, None) => self.persisted(id, text.as_deref())?,
            (Wanted::Id { id, text: None }, Some(trusted)) => trusted.by_id(id)?,
            (
                Wanted::Text(text)
                | Wanted::Id {
                    text: Some(text), ..
                },
                Some(trusted),
            ) => trusted.by_text(text)?,
        };
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
        let document = Arc::new(read(text, &self.limits)?);
        if document.may_be_kept {
            self.cache.insert(text.into(), Arc::clone(&document));
        }
        Ok(document)
    }

    /// Apollo's automatic persisted queries: a document that came with its hash once can be asked for
    /// by the hash alone.
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

/// Parses the text, if it is within the limits.
pub(super) fn read(text: &str, limits: &DocumentLimits) -> Result<Document, DocumentError> {
    let tokens = check_text(text, limits)?;
    let mut executable = parse_query(text).map_err(|error| parse_error(&error))?;
    let findings = check_document(&executable, limits)?;
    let introspection = Introspection::of(&executable, text, findings.introspects);
    let events = CompiledEvents::compile(&executable).map(Arc::new);
    Ok(Document {
        reads_claims: findings.reads_claims,
        checks_secret: findings.secrets_checked > 0,
        introspection,
        may_be_kept: !findings.holds_values && text.len() <= CACHED_TEXT_LENGTH,
        tokens,
        valid: AtomicBool::new(false),
        events,
        // The last: it changes what would be found.
        shape: Shape::mark(&mut executable),
        executable,
    })
}

/// The text's SHA-256 in lower-case hexadecimal digits.
pub(super) fn hash(text: &str) -> String {
    hex::encode(Sha256::digest(text))
}

/// The id without what says that it is a hash.
pub(super) fn strip_prefix(id: &str) -> &str {
    id.strip_prefix(HASH_PREFIX).unwrap_or(id)
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
        Documents::new(DocumentLimits::default(), 10_000, None)
    }

    fn by_text(
        documents: &Documents,
        text: &str,
        operation_name: Option<&str>,
    ) -> Result<CheckedDocument, DocumentError> {
        documents.check(&Wanted::Text(text.to_owned()), operation_name)
    }

    fn by_hash(
        documents: &Documents,
        id: &str,
        text: Option<&str>,
    ) -> Result<CheckedDocument, DocumentError> {
        let (id, text) = (id.to_owned(), text.map(str::to_owned));
        documents.check(&Wanted::Id { id, text }, None)
    }

    #[rstest]
    #[case("query A { a }", true)]
    #[case("query A($a: Int) { a(b: $a) }", true)]
    #[case(r#"mutation { signIn(password: "hunter2") }"#, false)]
    #[case("mutation { resumeConnection(input: 123456) }", false)]
    fn only_documents_without_values_are_kept(#[case] query: &str, #[case] kept: bool) {
        let documents = documents();
        let first = by_text(&documents, query, None).expect("fine");
        let second = by_text(&documents, query, None).expect("fine");
        assert_eq!(Arc::ptr_eq(&first.document, &second.document), kept);
    }

    #[test]
    fn long_texts_are_not_kept_and_the_cache_is_bounded() {
        let documents = documents();
        let long = format!("{{ a }} # {}", "x".repeat(CACHED_TEXT_LENGTH));
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
    #[case("{ __schema { types { name } } __typename }", Some(true))]
    #[case("query Q { a: __type(name: \"User\") { name } }", Some(true))]
    #[case(
        "{ __schema { types { ...F } } } fragment F on __Type { name }",
        Some(true)
    )]
    #[case(
        "query($a: Boolean!) { __schema @skip(if: $a) { types { name } } }",
        Some(false)
    )]
    #[case("{ __schema { types { name } } me { id } }", Some(false))]
    #[case(
        "{ ...F } fragment F on Query { __schema { types { name } } }",
        Some(false)
    )]
    #[case(
        "query A { __schema { types { name } } } query B { me { id } }",
        Some(false)
    )]
    #[case("{ __typename }", Some(true))]
    #[case("mutation { __typename }", None)]
    #[case("{ me { id __typename } }", None)]
    fn introspection_is_told_apart(#[case] query: &str, #[case] alone: Option<bool>) {
        let read = read(query, &DocumentLimits::default()).expect("fine");
        let expected = alone.map(|alone| {
            if alone {
                Introspection::Alone(Sha256::digest(query).into())
            } else {
                Introspection::Mixed
            }
        });
        assert_eq!(read.introspection, expected);
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

        let off = Documents::new(DocumentLimits::default(), 0, None);
        let refused = by_hash(&off, &hash("{ a }"), Some("{ a }")).err();
        assert_eq!(refused, Some(DocumentError::PersistedNotSupported));
    }
}
