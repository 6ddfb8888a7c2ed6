//! Tests of the measurement of documents.

use async_graphql::parser::parse_query;
use rstest::rstest;

use super::*;
use crate::test_schema;

fn document(query: &str) -> Result<Findings, DocumentError> {
    let document = parse_query(query).expect("the test's query parses");
    check_document(&document, &DocumentLimits::default(), &test_schema::types())
}

fn nested(field: &str, depth: usize) -> String {
    let open = format!("{{ {field} ").repeat(depth);
    format!("{open}{}", "}".repeat(depth))
}

#[test]
fn depth_is_limited() {
    assert!(document(&nested("a", 8)).is_ok());
    let too_deep = Err(DocumentError::Depth(8));
    assert_eq!(document(&nested("a", 9)), too_deep);
    assert_eq!(document(&nested("a", 30)), too_deep);
    let by_fragment =
        "{ a { b { c { ...F } } } } fragment F on T { d { e { f { g { h { i } } } } } }";
    assert_eq!(document(by_fragment), too_deep);
}

#[rstest]
#[case(15, true)]
#[case(16, false)]
#[case(101, false)]
fn aliases_are_limited(#[case] count: usize, #[case] allowed: bool) {
    let aliases = "a: b ".repeat(count);
    let refused = document(&format!("{{ c {{ {aliases} }} }}")).err();
    assert_eq!(refused, (!allowed).then_some(DocumentError::Aliases(15)));
}

#[test]
fn fields_and_root_fields_are_limited() {
    let repeated = format!("{{ c {{ {} }} }}", "b ".repeat(500));
    assert_eq!(document(&repeated), Err(DocumentError::Complexity(300)));
    let roots = format!("{{ {} }}", "b ".repeat(16));
    assert_eq!(document(&roots), Err(DocumentError::RootFields(15)));
}

#[rstest]
#[case("{ a: me { rows(first: 100) { id } } }", true)]
#[case(
    "{ me { a: rows(first: 100) { id } b: rows(first: 100) { id } } }",
    true
)]
#[case(
    "{ me { a: rows(first: 99) { id } b: rows(first: 99) { id } c: rows(first: 99) { id } } }",
    false
)]
#[case(
    "query($n: Int) { me { a: rows(first: $n) { id } b: rows(first: $n) { id } c: rows(first: $n) { id } } }",
    false
)]
#[case(
    "{ me { a: rows(first: -1) { id } b: rows(first: 1000) { id } c: rows(first: 9.5) { id } } }",
    false
)]
#[case(
    "{ me { a: rows { id } b: rows { id } c: rows { id } d: rows { id } } }",
    true
)]
fn each_row_of_a_page_counts_as_a_field(#[case] query: &str, #[case] allowed: bool) {
    let refused = document(query).err();
    assert_eq!(
        refused,
        (!allowed).then_some(DocumentError::Complexity(300))
    );
}

#[test]
fn directives_count_at_every_location() {
    let many = "@d ".repeat(51);
    for query in [
        format!("{{ a {many} }}"),
        format!("query {many} {{ a }}"),
        format!("query($v: Int {many}) {{ a }}"),
        format!("{{ ... {many} {{ a }} }}"),
        format!("{{ ...F {many} }} fragment F on T {{ a }}"),
        format!("{{ ...F }} fragment F on T {many} {{ a }}"),
    ] {
        assert_eq!(
            document(&query),
            Err(DocumentError::Directives(50)),
            "{query}"
        );
    }
}

#[test]
fn fragments_count_at_each_spread_and_are_measured_once() {
    let fragment = |n| format!("fragment F{n} on T {{ ...F{0} ...F{0} }}", n + 1);
    let mut query = (0..100).map(fragment).collect::<Vec<_>>().join(" ");
    query += " fragment F100 on T { a b } query { ...F0 }";
    assert_eq!(document(&query), Err(DocumentError::Complexity(300)));
}

#[test]
fn doubling_fragments_that_end_in_an_unknown_one_are_refused() {
    let fragment = |n| format!("fragment F{n} on T {{ ...F{0} ...F{0} }}", n + 1);
    let doubling = (0..40).map(fragment).collect::<Vec<_>>().join(" ");
    let query = format!("{{ ...F0 }} {doubling}");
    assert_eq!(document(&query), Err(DocumentError::Complexity(300)));
}

#[rstest]
#[case(128, true)]
#[case(129, false)]
#[case(10_000, false)]
fn chains_of_fragments_are_limited(#[case] length: usize, #[case] allowed: bool) {
    let fragment = |n| format!("fragment F{n} on T {{ ...F{} }} ", n + 1);
    let chain = (1..length).map(fragment).collect::<String>();
    let query = format!("{chain} fragment F{length} on T {{ a }} {{ ...F1 }}");
    let refused = document(&query).err();
    assert_eq!(refused, (!allowed).then_some(DocumentError::Depth(128)));
}

#[rstest]
#[case("{ ...F } fragment F on T { ...F }")]
#[case("{ a } fragment F on T { a { ...G } } fragment G on T { ... { ...F } }")]
fn cycles_of_fragments_are_refused(#[case] query: &str) {
    assert!(matches!(
        document(query),
        Err(DocumentError::FragmentCycle(_))
    ));
}

#[rstest]
#[case("mutation { signIn a: signIn }")]
#[case("mutation { signIn signUp }")]
#[case("mutation { a: connect b: connect }")]
#[case("mutation { connect ... { b: connect } }")]
#[case("mutation { ...F ...F } fragment F on Mutation { signIn }")]
fn several_mutations_with_secrets_are_refused(#[case] query: &str) {
    assert_eq!(
        document(query),
        Err(DocumentError::SeveralSecrets(
            "signIn, signUp and connect".into()
        ))
    );
}

#[rstest]
#[case("mutation { signIn signOut }")]
#[case("mutation A { signIn } mutation B { signIn }")]
fn one_mutation_with_a_secret_is_accepted(#[case] query: &str) {
    assert!(document(query).is_ok());
}

#[rstest]
#[case("subscription { a b }")]
#[case("subscription { ...F } fragment F on S { a }")]
#[case("subscription { ... { a } }")]
fn subscription_needs_exactly_one_root_field(#[case] query: &str) {
    assert_eq!(document(query), Err(DocumentError::SubscriptionRoot));
}

#[test]
fn introspection_has_its_own_limits() {
    let of_type = "{ kind name ofType ".repeat(9) + "{ kind } " + &"} ".repeat(9);
    let usual = format!(
        "{{ __schema {{ types {{ ...Full }} }} }} \
         fragment Full on __Type {{ fields {{ args {{ type {of_type} }} type {of_type} }} }}"
    );
    assert!(document(&usual).is_ok());
    let deeper = format!("{{ __type {} }}", nested("ofType", 16));
    assert_eq!(document(&deeper), Err(DocumentError::Depth(16)));
    let circular =
        "{ __schema { types { fields { type { fields { type { fields { name } } } } } } } }";
    assert_eq!(
        document(circular),
        Err(DocumentError::IntrospectionLists(2))
    );
}

#[test]
fn repetitive_introspection_is_refused() {
    let kind = "{ kind name ofType ".repeat(9) + "{ kind name } " + &"} ".repeat(9);
    let input = format!("{{ name description type {kind} defaultValue isDeprecated }}");
    let graphiql = format!(
        "{{ __schema {{ queryType {{ name }} types {{ ...Full }} \
         directives {{ name description locations args {input} }} }} }} \
         fragment Full on __Type {{ kind name description \
         fields(includeDeprecated: true) {{ name description args {input} type {kind} isDeprecated \
         deprecationReason }} inputFields {input} interfaces {kind} enumValues {{ name description \
         isDeprecated deprecationReason }} possibleTypes {kind} }}"
    );
    assert!(document(&graphiql).is_ok());
    let names = "name ".repeat(280);
    let fields = "fields { name } ".repeat(140);
    for query in [
        format!("{{ __schema {{ types {{ fields {{ type {{ fields {{ {names} }} }} }} }} }} }}"),
        format!("{{ __schema {{ types {{ {fields} }} }} }}"),
        format!("{{ __schema {{ types {{ ...F }} }} }} fragment F on __Type {{ {fields} }}"),
    ] {
        let refused = Err(DocumentError::IntrospectionValues(30_000));
        assert_eq!(document(&query), refused, "{query}");
    }
}

#[rstest]
#[case("{ __schema { types { name } } }", true)]
#[case("{ ...F } fragment F on Query { b: __type(name: $a) { name } }", true)]
#[case("{ __typename me { __typename } }", false)]
fn introspection_can_be_switched_off(#[case] query: &str, #[case] withheld: bool) {
    let limits = DocumentLimits {
        introspection: false,
        ..DocumentLimits::default()
    };
    let document = parse_query(query).expect("a document");
    let refused = check_document(&document, &limits, &test_schema::types()).err();
    assert_eq!(refused, withheld.then_some(DocumentError::IntrospectionOff));
}

#[rstest]
#[case(
    "query($a: Int) { a(b: $a) @skip(if: true) c(d: [{ e: null }]) }",
    false
)]
#[case(r#"{ a(b: "hunter2") }"#, true)]
#[case("{ a(b: 123456) }", true)]
#[case("{ a(b: HUNTER2) }", true)]
#[case("{ a(b: [{ c: 5 }]) }", true)]
#[case("query($a: Int = 5) { a(b: $a) }", true)]
#[case("{ a @d(e: 5) }", true)]
#[case("{ ...F } fragment F on T { a(b: 5) }", true)]
fn literal_values_are_found(#[case] query: &str, #[case] holds_values: bool) {
    let findings = document(query).expect("fine");
    assert_eq!(findings.holds_values, holds_values);
}

#[rstest]
#[case("{ me { report { title } } }", true)]
#[case("{ me { ...F } } fragment F on User { all: report { title } }", true)]
#[case("{ me { ... on User { ... { report { title } } } } }", true)]
#[case("{ me { report: email } }", false)]
#[case("{ report { title } }", false)]
fn slow_fields_are_found(#[case] query: &str, #[case] is_slow: bool) {
    assert_eq!(document(query).expect("fine").is_slow, is_slow);
}
