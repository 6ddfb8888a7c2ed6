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
    types::{Composite, FieldInfo},
};

/// Upper bound of introspection lists within each other.
///
/// The query that `GraphiQL` sends needs one; each further one multiplies the answer by the size of the
/// schema.
const MAX_INTROSPECTION_LISTS: usize = 2;

/// Upper bound of a chain of fragment spreads.
///
/// async-graphql refuses shorter chains, but only after this walk, which would overflow the stack over a
/// chain of thousands.
const MAX_SPREADS: usize = 128;

/// Upper bound of the values that an introspection query may return. `GraphiQL`'s own query returns some
/// 20,000.
const MAX_INTROSPECTION_VALUES: usize = 30_000;

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
        in_progress: 0,
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
    secrets: usize,
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
        self.secrets = self.secrets.saturating_add(other.secrets);
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
    fn of_field(self, field: &Field, info: Option<&FieldInfo>) -> Self {
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
            secrets: usize::from(info.is_some_and(|info| info.takes_secret)),
            all_fields: self.all_fields.saturating_add(1 + page_length(field, info)),
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
        } else if self.introspection_lists > MAX_INTROSPECTION_LISTS {
            Err(DocumentError::IntrospectionLists(MAX_INTROSPECTION_LISTS))
        } else if self.introspection_values > MAX_INTROSPECTION_VALUES {
            Err(DocumentError::IntrospectionValues(MAX_INTROSPECTION_VALUES))
        } else if self.aliases > limits.aliases {
            Err(DocumentError::Aliases(limits.aliases))
        } else if self.directives > limits.directives {
            Err(DocumentError::Directives(limits.directives))
        } else if self.fields > limits.root_fields {
            Err(DocumentError::RootFields(limits.root_fields))
        } else if self.secrets > 1 {
            Err(DocumentError::SeveralSecrets(types.secret_mutations()))
        } else if self.introspection_values > 0 && !limits.introspection {
            Err(DocumentError::IntrospectionOff)
        } else {
            Ok(())
        }
    }
}

/// Rows of the page that a field returns, each of which counts as a field; zero for other fields.
fn page_length(field: &Field, info: Option<&FieldInfo>) -> usize {
    let Some(page) = info.and_then(|info| info.page) else {
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
    in_progress: usize,
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
        self.secrets = self.secrets.max(measure.secrets);
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
                    let info = parent.and_then(|parent| parent.field(&field.node.name.node));
                    self.is_slow |= info.is_some_and(|info| info.is_slow);
                    let ty = info.and_then(|info| self.types.get(type_name(&info.ty.base)));
                    self.selection_set(&field.node.selection_set.node, ty)?
                        .of_field(&field.node, info)
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
            None if self.in_progress == MAX_SPREADS => Err(DocumentError::Depth(MAX_SPREADS)),
            None => {
                self.fragments.insert(name, None);
                self.in_progress += 1;
                let ty = self.types.get(&fragment.node.type_condition.node.on.node);
                let mut measure = self.selection_set(&fragment.node.selection_set.node, ty)?;
                self.in_progress -= 1;
                measure.spreads += 1;
                // The fragment measured first may be the end of the chain, so the check of `in_progress` is not
                // enough.
                if measure.spreads > MAX_SPREADS {
                    return Err(DocumentError::Depth(MAX_SPREADS));
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
fn type_name(ty: &BaseType) -> &str {
    match ty {
        BaseType::Named(name) => name,
        BaseType::List(item) => type_name(&item.base),
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
mod tests;
