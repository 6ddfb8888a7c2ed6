//! Tests of the document cache.

use async_graphql::{Pos, parser::types::OperationType};
use rstest::rstest;

use super::*;
use crate::test_schema;

fn documents() -> Documents {
    Documents::new(test_schema::reader(), 10_000, None)
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
fn documents_with_values_are_not_cached(#[case] query: &str, #[case] is_cached: bool) {
    let documents = documents();
    let first = by_text(&documents, query, None).expect("fine");
    let second = by_text(&documents, query, None).expect("fine");
    assert_eq!(Arc::ptr_eq(&first.document, &second.document), is_cached);
}

#[test]
fn cache_skips_long_texts_and_is_bounded() {
    let documents = documents();
    let long = format!("{{ a }} # {}", "x".repeat(16 * 1024));
    by_text(&documents, &long, None).expect("fine");
    assert!(documents.cache.get(long.as_str()).is_none());
    for n in 0..20_000 {
        by_text(&documents, &format!("{{ a{n} }}"), None).expect("fine");
    }
    documents.cache.run_pending_tasks();
    assert!(documents.cache.weighted_size() <= CACHE_BYTES);
    // As many as that, however short they are.
    let most = CACHE_BYTES / u64::try_from(DOCUMENT_BYTES).expect("few");
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
fn operation_is_selected_by_name(
    #[case] query: &str,
    #[case] operation_name: Option<&str>,
    #[case] kind: OperationType,
    #[case] name: Option<&str>,
) {
    let prepared = by_text(&documents(), query, operation_name).expect("fine");
    assert_eq!(prepared.kind, kind);
    assert_eq!(prepared.name.as_deref(), name);
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
fn faulty_documents_are_refused(
    #[case] query: &str,
    #[case] operation_name: Option<&str>,
    #[case] expected: DocumentError,
) {
    let refused = by_text(&documents(), query, operation_name);
    assert_eq!(refused.expect_err("refused"), expected);
}

#[rstest]
#[case("{ me { id } }", Some("me"))]
#[case("query Q { mine: me { id } __typename }", Some("me"))]
#[case("{ __typename }", Some("__typename"))]
#[case("{ me { id } operation { id } }", None)]
#[case("{ ...F } fragment F on Query { me { id } }", None)]
fn root_field_is_found(#[case] query: &str, #[case] field: Option<&str>) {
    let prepared = by_text(&documents(), query, None).expect("fine");
    assert_eq!(prepared.root_field(), field);
}

#[rstest]
#[case("{ __schema { types { name } } __typename }", true)]
#[case("query Q { a: __type(name: \"User\") { name } me { id } }", true)]
#[case("{ ...F } fragment F on Query { __schema { types { name } } }", true)]
#[case("query A { __schema { types { name } } } query B { me { id } }", true)]
#[case("{ __typename }", false)]
#[case("{ me { id __typename } }", false)]
fn introspection_is_recognized(#[case] query: &str, #[case] introspects: bool) {
    let read = test_schema::reader().read(query).expect("fine");
    assert_eq!(read.findings.introspects, introspects);
}

#[rstest]
#[case("query A { a } query A { a }")]
#[case("{ a } query A { a }")]
#[case("{ a } fragment F on T { a } fragment F on T { a }")]
fn colliding_definitions_are_refused(#[case] query: &str) {
    let refused = by_text(&documents(), query, None).expect_err("refused");
    assert!(matches!(refused, DocumentError::Definitions(Some(_))));
}

#[test]
fn persisted_document_is_found_by_hash() {
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
fn wrong_hash_is_refused_and_not_persisted() {
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
fn documents_with_values_or_over_limits_are_not_persisted(#[case] text: &str) {
    let documents = documents();
    let id = hash(text);
    let _ = by_hash(&documents, &id, Some(text));
    let missing = by_hash(&documents, &id, None).err();
    assert_eq!(missing, Some(DocumentError::PersistedNotFound));
}

#[test]
fn persisted_documents_are_bounded_and_optional() {
    let documents = documents();
    for n in 0..100 {
        let text = format!("{{ a{n} }} # {}", "x".repeat(1_000));
        by_hash(&documents, &hash(&text), Some(&text)).expect("fine");
    }
    let persisted = documents.persisted.expect("switched on");
    persisted.run_pending_tasks();
    assert!((1_000..=10_000).contains(&persisted.weighted_size()));

    let off = Documents::new(test_schema::reader(), 0, None);
    let refused = by_hash(&off, &hash("{ a }"), Some("{ a }")).err();
    assert_eq!(refused, Some(DocumentError::PersistedNotSupported));
}
