//! Completion of results as the specification defines it, where async-graphql leaves something out.
//!
//! A failed field is null, or, if it is not nullable, its parent is. An object is present even if nothing
//! is selected from it. Fields come in the document's order.
//!
//! <https://spec.graphql.org/September2025/#sec-Executing-Selection-Sets>

#[cfg(test)]
mod tests;

use std::{mem, sync::Arc};

use async_graphql::{
    Name, PathSegment, Positioned, Request, Response, ServerError, Value,
    indexmap::IndexMap,
    parser::types::{
        BaseType, Directive, ExecutableDocument, Field, OperationDefinition, Selection,
        SelectionSet, Type,
    },
};
use async_graphql_value::Value as InputValue;

use crate::document::{Document, SchemaTypes, TYPE_KEY, condition, is_of_introspection};

/// Tells whether nothing was executed.
///
/// Errors of fields have a path; errors that stop the request have none.
pub(super) fn is_request_error(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
}

/// Selections of a request, which its results are completed by.
pub(super) struct CompletionRequest {
    document: Arc<Document>,
    /// Name of the operation, if the document has several.
    operation_name: Option<String>,
    /// Variables of `@skip` and `@include` that are true.
    true_conditions: Vec<Name>,
}

impl CompletionRequest {
    /// Creates the selections of a request for `document`.
    pub(super) fn new(document: &Arc<Document>, request: &Request) -> Self {
        let holds = |name: &&Name| request.variables.get(*name) == Some(&Value::Boolean(true));
        let conditions = document.plan.conditions.iter();
        let has_several = document.executable.operations.iter().nth(1).is_some();
        let operation_name = request.operation_name.as_ref().filter(|_| has_several);
        Self {
            true_conditions: conditions.filter(holds).cloned().collect(),
            operation_name: operation_name.cloned(),
            document: Arc::clone(document),
        }
    }

    /// Completes a response.
    pub(super) fn complete(&self, types: &SchemaTypes, mut response: Response) -> Response {
        let Some(operation) = self.document.operation(self.operation_name.as_deref()) else {
            return response;
        };
        let needs_collecting = self.document.plan.needs_collecting;
        let set = &operation.selection_set.node;
        let is_complete =
            response.errors.is_empty() && !needs_collecting && is_in_order(set, &response.data);
        if is_complete || is_request_error(&response) {
            return response;
        }
        let values = match mem::take(&mut response.data) {
            Value::Object(values) => values,
            Value::Null => IndexMap::new(),
            // JSON is passed on as it is.
            written => {
                response.data = written;
                return response;
            }
        };
        let completion = Completion {
            types,
            document: &self.document.executable,
            true_conditions: &self.true_conditions,
            errors: &response.errors,
        };
        response.data = completion.root(operation, values);
        response
    }
}

/// Tells whether the value has the fields of a plain selection set, in that order.
fn is_in_order(set: &SelectionSet, value: &Value) -> bool {
    let is_next = |(selection, (key, value)): (&Positioned<Selection>, (&Name, &Value))| {
        let Selection::Field(field) = &selection.node else {
            return false;
        };
        let field = &field.node;
        field.response_key().node == *key
            && (!is_completed(field) || is_in_order(&field.selection_set.node, value))
    };
    match value {
        Value::Object(values) => {
            values.len() == set.items.len() && set.items.iter().zip(values).all(is_next)
        }
        Value::List(items) => items.iter().all(|item| is_in_order(set, item)),
        _ => true,
    }
}

/// Tells whether the field's value is completed, too.
///
/// Scalars and introspection are left as they are.
fn is_completed(field: &Field) -> bool {
    !field.selection_set.node.items.is_empty() && !is_of_introspection(&field.name.node)
}

struct Completion<'a> {
    types: &'a SchemaTypes,
    document: &'a ExecutableDocument,
    true_conditions: &'a [Name],
    errors: &'a [ServerError],
}

/// Selections under one response name.
struct CollectedField<'a> {
    field: &'a Field,
    /// Selection sets of the field, if it has any; several when it is selected several times.
    sets: Vec<&'a SelectionSet>,
}

/// Segment of the path to a value.
#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Item(usize),
}

impl PartialEq<PathSegment> for Step<'_> {
    fn eq(&self, other: &PathSegment) -> bool {
        match (self, other) {
            (Self::Field(name), PathSegment::Field(other)) => name == other,
            (Self::Item(index), PathSegment::Index(other)) => index == other,
            _ => false,
        }
    }
}

type Values = IndexMap<Name, Value>;

impl<'a> Completion<'a> {
    fn root(&self, operation: &'a OperationDefinition, values: Values) -> Value {
        let sets = [&operation.selection_set.node];
        let completed = self.object(
            self.types.root(operation.ty),
            &sets,
            values,
            &mut Vec::new(),
        );
        completed.unwrap_or_default()
    }

    /// Completes an object. Returns none when null takes its place.
    fn object(
        &self,
        declared: &str,
        sets: &[&'a SelectionSet],
        mut values: Values,
        path: &mut Vec<Step<'a>>,
    ) -> Option<Value> {
        let type_name = values.swap_remove(TYPE_KEY);
        let name = match &type_name {
            Some(Value::String(name)) => name,
            _ => declared,
        };
        let composite = self.types.get(name);
        let mut selected = IndexMap::new();
        for set in sets {
            self.collect(name, set, &mut selected);
        }
        let mut completed = IndexMap::with_capacity(selected.len());
        for (key, CollectedField { field, sets }) in selected {
            let value = values.swap_remove(key).unwrap_or_default();
            let value = match composite.and_then(|composite| composite.field(&field.name.node)) {
                Some(info) => {
                    path.push(Step::Field(key));
                    let value = self.value(&info.ty, &sets, value, path);
                    path.pop();
                    value?
                }
                None => value,
            };
            completed.insert(key.clone(), value);
        }
        Some(Value::Object(completed))
    }

    /// Completes a value. Returns none when null takes the place of its parent.
    fn value(
        &self,
        ty: &Type,
        sets: &[&'a SelectionSet],
        value: Value,
        path: &mut Vec<Step<'a>>,
    ) -> Option<Value> {
        let completed = match (&ty.base, value) {
            (BaseType::Named(name), Value::Object(values)) if !sets.is_empty() => {
                self.object(name, sets, values, path)
            }
            // The object was present, but each of its fields has failed.
            (BaseType::Named(name), Value::Null) if self.failed_within(path) => {
                self.object(name, sets, IndexMap::new(), path)
            }
            (BaseType::List(ty), Value::List(items)) => self.list(ty, sets, items, path),
            (_, Value::Null) => None,
            (_, value) => Some(value),
        };
        completed.or_else(|| ty.nullable.then_some(Value::Null))
    }

    fn list(
        &self,
        ty: &Type,
        sets: &[&'a SelectionSet],
        items: Vec<Value>,
        path: &mut Vec<Step<'a>>,
    ) -> Option<Value> {
        let item = |(index, item)| {
            path.push(Step::Item(index));
            let item = self.value(ty, sets, item, path);
            path.pop();
            item
        };
        let items: Option<_> = items.into_iter().enumerate().map(item).collect();
        items.map(Value::List)
    }

    fn failed_within(&self, path: &[Step<'_>]) -> bool {
        let within = |error: &ServerError| {
            error.path.len() > path.len()
                && path
                    .iter()
                    .zip(&error.path)
                    .all(|(step, other)| step == other)
        };
        self.errors.iter().any(within)
    }

    /// Collects the fields of an object of this type by response name, in the order of the document.
    fn collect(
        &self,
        name: &str,
        set: &'a SelectionSet,
        selected: &mut IndexMap<&'a Name, CollectedField<'a>>,
    ) {
        for selection in &set.items {
            if !self.is_included(selection.node.directives()) {
                continue;
            }
            let (condition, set) = match &selection.node {
                Selection::Field(field) => {
                    let (key, field) = (&field.node.response_key().node, &field.node);
                    if key != TYPE_KEY {
                        let sets = Vec::new();
                        let selected = selected
                            .entry(key)
                            .or_insert(CollectedField { field, sets });
                        if is_completed(field) {
                            selected.sets.push(&field.selection_set.node);
                        }
                    }
                    continue;
                }
                Selection::InlineFragment(fragment) => (
                    fragment.node.type_condition.as_ref(),
                    &fragment.node.selection_set.node,
                ),
                Selection::FragmentSpread(spread) => {
                    let fragments = &self.document.fragments;
                    let Some(fragment) = fragments.get(&spread.node.fragment_name.node) else {
                        continue;
                    };
                    (
                        Some(&fragment.node.type_condition),
                        &fragment.node.selection_set.node,
                    )
                }
            };
            if condition.is_none_or(|condition| self.types.is_a(name, &condition.node.on.node)) {
                self.collect(name, set, selected);
            }
        }
    }

    fn is_included(&self, directives: &[Positioned<Directive>]) -> bool {
        directives.iter().all(|directive| {
            let holds = match condition(&directive.node) {
                Some(InputValue::Boolean(holds)) => *holds,
                Some(InputValue::Variable(name)) => self.true_conditions.contains(name),
                Some(_) => false,
                None => return true,
            };
            holds == (directive.node.name.node == "include")
        })
    }
}
