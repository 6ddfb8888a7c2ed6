//! Measurement of a parsed document: every operation is walked once, every fragment is measured once.

use std::collections::HashMap;

use async_graphql::{
    Name, Positioned,
    parser::types::{
        BaseType, Directive, ExecutableDocument, Field, OperationDefinition, OperationType,
        Selection, SelectionSet,
    },
};
use async_graphql_value::Value;

use super::DocumentLimits;
use crate::document::{
    DocumentError, SchemaTypes,
    types::{Composite, FieldFacts},
};

/// Upper bound of introspection lists within each other.
///
/// The query that `GraphiQL` sends needs one; each further one multiplies the answer by the size of the
/// schema.
const INTROSPECTION_LISTS: usize = 2;

/// Upper bound of a chain of fragment spreads.
///
/// async-graphql refuses shorter chains, but only after this walk, which would overflow the stack over a
/// chain of thousands.
const SPREADS: usize = 128;

/// Upper bound of the values that an introspection query may return. `GraphiQL`'s own query returns some
/// 20,000.
const INTROSPECTION_VALUES: usize = 30_000;

/// Typical lengths of the lists of introspection.
const INTROSPECTION_LENGTHS: [(&str, usize); 8] = [
    ("types", 50),
    ("fields", 4),
    ("args", 1),
    ("inputFields", 1),
    ("enumValues", 2),
    ("interfaces", 1),
    ("possibleTypes", 1),
    ("directives", 5),
];

/// Properties of a document that is within the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Tells whether the text itself holds values (strings, numbers, enum values) instead of variables.
    pub(in crate::document) holds_values: bool,
    /// Tells whether an operation selects a slow field.
    pub(crate) is_slow: bool,
    /// Secrets that one operation takes, at most.
    pub(crate) secrets: usize,
    /// Tells whether an operation introspects the schema, whose description is long.
    pub(crate) introspects: bool,
}

/// Measures every operation of the document.
pub(in crate::document) fn check_document(
    document: &ExecutableDocument,
    limits: &DocumentLimits,
    types: &SchemaTypes,
) -> Result<Findings, DocumentError> {
    let mut walk = Walk {
        document,
        types,
        fragments: HashMap::new(),
        open: 0,
        holds_values: false,
        is_slow: false,
        secrets: 0,
        introspects: false,
    };
    for name in document.fragments.keys() {
        walk.fragment(name)?;
    }
    for (_, operation) in document.operations.iter() {
        walk.operation(&operation.node, limits)?;
    }
    Ok(Findings {
        holds_values: walk.holds_values,
        is_slow: walk.is_slow,
        secrets: walk.secrets,
        introspects: walk.introspects,
    })
}

/// Totals of a selection set, with all of its fragments.
#[derive(Clone, Copy, Default)]
struct Measure {
    /// Fields of the set itself.
    fields: usize,
    /// Fields of the set itself that take a secret.
    once: usize,
    all_fields: usize,
    /// Length of the longest chain of fragment spreads.
    spreads: usize,
    depth: usize,
    introspection_depth: usize,
    /// Introspection lists within each other; meaningless outside of introspection.
    lists: usize,
    introspection_lists: usize,
    /// Values including those of list items; meaningless outside of introspection.
    values: usize,
    introspection_values: usize,
    aliases: usize,
    directives: usize,
}

impl Measure {
    fn add(&mut self, other: Self) {
        self.fields = self.fields.saturating_add(other.fields);
        self.once = self.once.saturating_add(other.once);
        self.all_fields = self.all_fields.saturating_add(other.all_fields);
        self.spreads = self.spreads.max(other.spreads);
        self.depth = self.depth.max(other.depth);
        self.introspection_depth = self.introspection_depth.max(other.introspection_depth);
        self.lists = self.lists.max(other.lists);
        self.introspection_lists = self.introspection_lists.max(other.introspection_lists);
        self.values = self.values.saturating_add(other.values);
        self.introspection_values = self
            .introspection_values
            .saturating_add(other.introspection_values);
        self.aliases = self.aliases.saturating_add(other.aliases);
        self.directives = self.directives.saturating_add(other.directives);
    }

    /// Measures a field that has this measure as its selection set.
    fn within(self, field: &Field, facts: Option<&FieldFacts>) -> Self {
        let name = field.name.node.as_str();
        let depth = self.depth + 1;
        let lists = self.lists
            + usize::from(matches!(
                name,
                "fields" | "inputFields" | "interfaces" | "possibleTypes"
            ));
        let length = INTROSPECTION_LENGTHS
            .iter()
            .find(|(list, _)| *list == name)
            .map_or(1, |(_, length)| *length);
        let values = self.values.saturating_add(1).saturating_mul(length);
        let mut measure = Self {
            fields: 1,
            once: usize::from(facts.is_some_and(|facts| facts.takes_secret)),
            all_fields: self
                .all_fields
                .saturating_add(1 + page_length(field, facts)),
            aliases: self
                .aliases
                .saturating_add(usize::from(field.alias.is_some())),
            depth,
            lists,
            values,
            ..self
        };
        if matches!(name, "__schema" | "__type") {
            measure.introspection_depth = depth;
            measure.introspection_lists = lists;
            measure.introspection_values = values;
            measure.depth = 1;
        }
        measure
    }

    fn check(&self, limits: &DocumentLimits, types: &SchemaTypes) -> Result<(), DocumentError> {
        if self.all_fields > limits.complexity {
            Err(DocumentError::Complexity(limits.complexity))
        } else if self.depth > limits.depth {
            Err(DocumentError::Depth(limits.depth))
        } else if self.introspection_depth > limits.introspection_depth {
            Err(DocumentError::Depth(limits.introspection_depth))
        } else if self.introspection_lists > INTROSPECTION_LISTS {
            Err(DocumentError::IntrospectionLists(INTROSPECTION_LISTS))
        } else if self.introspection_values > INTROSPECTION_VALUES {
            Err(DocumentError::IntrospectionValues(INTROSPECTION_VALUES))
        } else if self.aliases > limits.aliases {
            Err(DocumentError::Aliases(limits.aliases))
        } else if self.directives > limits.directives {
            Err(DocumentError::Directives(limits.directives))
        } else if self.fields > limits.root_fields {
            Err(DocumentError::RootFields(limits.root_fields))
        } else if self.once > 1 {
            Err(DocumentError::Once(types.secret_mutations()))
        } else if self.introspection_values > 0 && !limits.introspection {
            Err(DocumentError::IntrospectionOff)
        } else {
            Ok(())
        }
    }
}

/// Rows of the page that a field returns, each of which counts as a field; zero for other fields.
fn page_length(field: &Field, facts: Option<&FieldFacts>) -> usize {
    let Some(page) = facts.and_then(|facts| facts.page) else {
        return 0;
    };
    match field.get_argument(page.argument).map(|length| &length.node) {
        None => page.default,
        // A variable, or a value that is no length, counts as the longest page.
        Some(Value::Number(length)) => {
            let length = length
                .as_u64()
                .and_then(|length| usize::try_from(length).ok());
            length.map_or(page.longest, |length| length.min(page.longest))
        }
        Some(_) => page.longest,
    }
}

struct Walk<'a> {
    document: &'a ExecutableDocument,
    types: &'a SchemaTypes,
    /// Measures by fragment name; none while a fragment is being measured.
    fragments: HashMap<&'a str, Option<Measure>>,
    /// Number of fragments that are being measured.
    open: usize,
    holds_values: bool,
    is_slow: bool,
    secrets: usize,
    introspects: bool,
}

impl<'a> Walk<'a> {
    fn operation(
        &mut self,
        operation: &'a OperationDefinition,
        limits: &DocumentLimits,
    ) -> Result<(), DocumentError> {
        let set = &operation.selection_set.node;
        let root = self.types.get(self.types.root(operation.ty));
        let mut measure = self.selection_set(set, root)?;
        measure.directives = measure
            .directives
            .saturating_add(self.directives(&operation.directives));
        for variable in &operation.variable_definitions {
            measure.directives = measure
                .directives
                .saturating_add(self.directives(&variable.node.directives));
            self.holds_values |= variable.node.default_value.is_some();
        }
        measure.check(limits, self.types)?;
        self.introspects |= measure.introspection_values > 0;
        self.secrets = self.secrets.max(measure.once);
        let one_field =
            matches!(set.items.as_slice(), [only] if matches!(only.node, Selection::Field(_)));
        if operation.ty == OperationType::Subscription && !one_field {
            return Err(DocumentError::SubscriptionRoot);
        }
        Ok(())
    }

    /// Measures a selection set on a type; none where the schema has no such type.
    fn selection_set(
        &mut self,
        set: &'a SelectionSet,
        parent: Option<&'a Composite>,
    ) -> Result<Measure, DocumentError> {
        let mut total = Measure::default();
        for selection in &set.items {
            let mut measure = match &selection.node {
                Selection::Field(field) => {
                    self.arguments(&field.node.arguments);
                    let facts = parent.and_then(|parent| parent.field(&field.node.name.node));
                    self.is_slow |= facts.is_some_and(|facts| facts.is_slow);
                    let ty = facts.and_then(|facts| self.types.get(named(&facts.ty.base)));
                    self.selection_set(&field.node.selection_set.node, ty)?
                        .within(&field.node, facts)
                }
                Selection::InlineFragment(fragment) => {
                    let condition = fragment.node.type_condition.as_ref();
                    let ty = match condition {
                        Some(condition) => self.types.get(&condition.node.on.node),
                        None => parent,
                    };
                    self.selection_set(&fragment.node.selection_set.node, ty)?
                }
                Selection::FragmentSpread(spread) => {
                    self.fragment(&spread.node.fragment_name.node)?
                }
            };
            measure.directives = measure
                .directives
                .saturating_add(self.directives(selection.node.directives()));
            total.add(measure);
        }
        Ok(total)
    }

    /// Measures a fragment; an unknown one counts as a field.
    ///
    /// Validation reports unknown fragments only after it has followed every spread. Fragments that
    /// double each other would keep it busy forever.
    fn fragment(&mut self, name: &str) -> Result<Measure, DocumentError> {
        let Some((name, fragment)) = self.document.fragments.get_key_value(name) else {
            return Ok(Measure {
                all_fields: 1,
                ..Measure::default()
            });
        };
        match self.fragments.get(name.as_str()) {
            Some(Some(measure)) => Ok(*measure),
            Some(None) => Err(DocumentError::FragmentCycle(fragment.pos)),
            None if self.open == SPREADS => Err(DocumentError::Depth(SPREADS)),
            None => {
                self.fragments.insert(name, None);
                self.open += 1;
                let ty = self.types.get(&fragment.node.type_condition.node.on.node);
                let mut measure = self.selection_set(&fragment.node.selection_set.node, ty)?;
                self.open -= 1;
                measure.spreads += 1;
                // The fragment measured first may be the end of the chain, so the check of `open` is not
                // enough.
                if measure.spreads > SPREADS {
                    return Err(DocumentError::Depth(SPREADS));
                }
                measure.directives = measure
                    .directives
                    .saturating_add(self.directives(&fragment.node.directives));
                self.fragments.insert(name, Some(measure));
                Ok(measure)
            }
        }
    }

    fn directives(&mut self, directives: &[Positioned<Directive>]) -> usize {
        for directive in directives {
            self.arguments(&directive.node.arguments);
        }
        directives.len()
    }

    fn arguments(&mut self, arguments: &[(Positioned<Name>, Positioned<Value>)]) {
        self.holds_values |= arguments.iter().any(|(_, value)| holds_values(&value.node));
    }
}

/// Returns the name of the type inside of lists.
fn named(ty: &BaseType) -> &str {
    match ty {
        BaseType::Named(name) => name,
        BaseType::List(item) => named(&item.base),
    }
}

fn holds_values(value: &Value) -> bool {
    match value {
        Value::Variable(_) | Value::Null | Value::Boolean(_) => false,
        Value::Number(_) | Value::String(_) | Value::Binary(_) | Value::Enum(_) => true,
        Value::List(items) => items.iter().any(holds_values),
        Value::Object(fields) => fields.values().any(holds_values),
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::parser::parse_query;
    use rstest::rstest;

    use super::*;
    use crate::toy;

    fn document(query: &str) -> Result<Findings, DocumentError> {
        let document = parse_query(query).expect("the test's query parses");
        check_document(&document, &DocumentLimits::default(), &toy::types())
    }

    fn nested(field: &str, depth: usize) -> String {
        let open = format!("{{ {field} ").repeat(depth);
        format!("{open}{}", "}".repeat(depth))
    }

    #[test]
    fn depth() {
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
    fn aliases(#[case] count: usize, #[case] allowed: bool) {
        let aliases = "a: b ".repeat(count);
        let refused = document(&format!("{{ c {{ {aliases} }} }}")).err();
        assert_eq!(refused, (!allowed).then_some(DocumentError::Aliases(15)));
    }

    #[test]
    fn repeated_fields_and_root_fields() {
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
    fn each_row_of_a_page_counts(#[case] query: &str, #[case] allowed: bool) {
        let refused = document(query).err();
        assert_eq!(
            refused,
            (!allowed).then_some(DocumentError::Complexity(300))
        );
    }

    #[test]
    fn directives_count_wherever_they_are() {
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
    fn fragments_count_each_time_and_are_measured_once() {
        let fragment = |n| format!("fragment F{n} on T {{ ...F{0} ...F{0} }}", n + 1);
        let mut query = (0..100).map(fragment).collect::<Vec<_>>().join(" ");
        query += " fragment F100 on T { a b } query { ...F0 }";
        assert_eq!(document(&query), Err(DocumentError::Complexity(300)));
    }

    #[test]
    fn fragments_that_double_count_though_they_end_in_an_unknown_one() {
        let fragment = |n| format!("fragment F{n} on T {{ ...F{0} ...F{0} }}", n + 1);
        let doubling = (0..40).map(fragment).collect::<Vec<_>>().join(" ");
        let query = format!("{{ ...F0 }} {doubling}");
        assert_eq!(document(&query), Err(DocumentError::Complexity(300)));
    }

    #[rstest]
    #[case(128, true)]
    #[case(129, false)]
    #[case(10_000, false)]
    fn chains_of_fragments(#[case] length: usize, #[case] allowed: bool) {
        let fragment = |n| format!("fragment F{n} on T {{ ...F{} }} ", n + 1);
        let chain = (1..length).map(fragment).collect::<String>();
        let query = format!("{chain} fragment F{length} on T {{ a }} {{ ...F1 }}");
        let refused = document(&query).err();
        assert_eq!(refused, (!allowed).then_some(DocumentError::Depth(128)));
    }

    #[rstest]
    #[case("{ ...F } fragment F on T { ...F }")]
    #[case("{ a } fragment F on T { a { ...G } } fragment G on T { ... { ...F } }")]
    fn circles_of_fragments(#[case] query: &str) {
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
    fn mutations_that_take_a_secret_come_one_at_a_time(#[case] query: &str) {
        assert_eq!(
            document(query),
            Err(DocumentError::Once("signIn, signUp and connect".into()))
        );
    }

    #[rstest]
    #[case("mutation { signIn signOut }")]
    #[case("mutation A { signIn } mutation B { signIn }")]
    fn one_of_them_is_fine(#[case] query: &str) {
        assert!(document(query).is_ok());
    }

    #[rstest]
    #[case("subscription { a b }")]
    #[case("subscription { ...F } fragment F on S { a }")]
    #[case("subscription { ... { a } }")]
    fn a_subscription_has_one_root_field(#[case] query: &str) {
        assert_eq!(document(query), Err(DocumentError::SubscriptionRoot));
    }

    #[test]
    fn introspection_has_bounds_of_its_own() {
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
    fn introspection_that_repeats_itself_is_refused() {
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
            format!(
                "{{ __schema {{ types {{ fields {{ type {{ fields {{ {names} }} }} }} }} }} }}"
            ),
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
    fn the_schema_may_be_withheld(#[case] query: &str, #[case] withheld: bool) {
        let limits = DocumentLimits {
            introspection: false,
            ..DocumentLimits::default()
        };
        let document = parse_query(query).expect("a document");
        let refused = check_document(&document, &limits, &toy::types()).err();
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
    fn values_in_the_text_are_found(#[case] query: &str, #[case] holds_values: bool) {
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
}
