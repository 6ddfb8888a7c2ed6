//! Completion plan: properties of a document that completion depends on.

use std::collections::HashSet;

use async_graphql::{
    Name, Pos, Positioned,
    parser::types::{
        Directive, DocumentOperations, ExecutableDocument, Field, Selection, SelectionSet,
    },
};
use async_graphql_value::Value;

/// Response name of the type in each object.
///
/// It keeps an object present from which nothing is selected: async-graphql would make it null. No client
/// can write this name.
pub(crate) const TYPE_KEY: &str = "(type)";

const TYPENAME: &str = "__typename";

/// Completion plan of a document.
#[derive(Debug, Default)]
pub(crate) struct CompletionPlan {
    /// Tells whether a selection set has more than fields with different response names.
    pub(crate) needs_collecting: bool,
    /// Variables in the conditions of `@skip` and `@include`.
    pub(crate) conditions: Vec<Name>,
}

impl CompletionPlan {
    /// Examines the document, and adds the type to each object where completion needs it.
    pub(crate) fn prepare(document: &mut ExecutableDocument) -> Self {
        let mut plan = Self::default();
        for (_, operation) in document.operations.iter() {
            plan.examine(&operation.node.selection_set.node);
        }
        for fragment in document.fragments.values() {
            plan.examine(&fragment.node.selection_set.node);
        }
        if plan.needs_collecting {
            match &mut document.operations {
                DocumentOperations::Single(operation) => {
                    add_types(&mut operation.node.selection_set.node);
                }
                DocumentOperations::Multiple(operations) => {
                    for operation in operations.values_mut() {
                        add_types(&mut operation.node.selection_set.node);
                    }
                }
            }
            for fragment in document.fragments.values_mut() {
                let fragment = &mut fragment.node;
                if !is_of_introspection(&fragment.type_condition.node.on.node) {
                    add_types(&mut fragment.selection_set.node);
                }
            }
        }
        plan
    }

    fn examine(&mut self, set: &SelectionSet) {
        let mut keys = HashSet::new();
        for selection in &set.items {
            for directive in selection.node.directives() {
                self.needs_collecting = true;
                if let Some(Value::Variable(name)) = condition(&directive.node)
                    && !self.conditions.contains(name)
                {
                    self.conditions.push(name.clone());
                }
            }
            match &selection.node {
                Selection::Field(field) => {
                    self.needs_collecting |= !keys.insert(&field.node.response_key().node);
                    self.examine(&field.node.selection_set.node);
                }
                Selection::InlineFragment(fragment) => {
                    self.needs_collecting = true;
                    self.examine(&fragment.node.selection_set.node);
                }
                Selection::FragmentSpread(_) => self.needs_collecting = true,
            }
        }
    }
}

/// Returns the condition of a `@skip` or an `@include`.
pub(crate) fn condition(directive: &Directive) -> Option<&Value> {
    let is_condition = matches!(directive.name.node.as_str(), "skip" | "include");
    let condition = is_condition.then(|| directive.get_argument("if"))??;
    Some(&condition.node)
}

/// Tells whether the field or type is one of introspection.
pub(crate) fn is_of_introspection(name: &str) -> bool {
    name.starts_with("__")
}

/// Adds the type to every field with a selection set.
fn add_types(set: &mut SelectionSet) {
    for selection in &mut set.items {
        let pos = selection.pos;
        match &mut selection.node {
            Selection::Field(field) if is_of_introspection(&field.node.name.node) => {}
            Selection::Field(field) => {
                let set = &mut field.node.selection_set.node;
                if !set.items.is_empty() {
                    add_types(set);
                    set.items.push(type_field(pos));
                }
            }
            Selection::InlineFragment(fragment) => add_types(&mut fragment.node.selection_set.node),
            Selection::FragmentSpread(_) => {}
        }
    }
}

fn type_field(pos: Pos) -> Positioned<Selection> {
    let field = Field {
        alias: Some(Positioned::new(Name::new(TYPE_KEY), pos)),
        name: Positioned::new(Name::new(TYPENAME), pos),
        arguments: Vec::new(),
        directives: Vec::new(),
        selection_set: Positioned::new(SelectionSet::default(), pos),
    };
    Positioned::new(Selection::Field(Positioned::new(field, pos)), pos)
}
