//! Selections, compiled to a list of writers.

use std::{cell::Cell, fmt, rc::Rc};

use async_graphql::{
    Name,
    parser::types::{ExecutableDocument, Field as FieldNode, Selection as Selected, SelectionSet},
};
use serde::Serialize;

/// Writes one field's value as JSON.
pub(super) type Writer<T> = Box<dyn Fn(&T, &mut Vec<u8>) -> serde_json::Result<()> + Send + Sync>;

/// A type of the schema whose values can be written.
pub(super) trait Object {
    /// What it is written from.
    type Source: 'static;
    const NAME: &'static str;
    const INTERFACES: &'static [&'static str] = &[];

    /// One of its fields; none when it has no such field, or one that has to be resolved.
    fn field(name: &str, sets: &SelectionSets<'_>) -> Option<Field<Self::Source>>;
}

/// How a field is written.
pub(super) enum Field<T> {
    /// Without a selection.
    Leaf(Writer<T>),
    /// With one.
    Object(Writer<T>),
}

/// What is selected from an object, each name once.
pub(super) struct Selection<T>(Vec<(Vec<u8>, Writer<T>)>);

impl<T> fmt::Debug for Selection<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Selection").finish_non_exhaustive()
    }
}

impl<T> Selection<T> {
    pub(super) fn write(&self, source: &T, json: &mut Vec<u8>) -> serde_json::Result<()> {
        if self.0.is_empty() {
            json.push(b'{');
        }
        for (opening, write) in &self.0 {
            json.extend_from_slice(opening);
            write(source, json)?;
        }
        json.push(b'}');
        Ok(())
    }
}

/// The selection sets of one field: several when it is selected several times under the same name.
pub(super) struct SelectionSets<'a> {
    document: &'a ExecutableDocument,
    sets: Vec<&'a SelectionSet>,
    reads_connection: Rc<Cell<bool>>,
}

impl<'a> SelectionSets<'a> {
    pub(super) fn new(document: &'a ExecutableDocument, set: &'a SelectionSet) -> Self {
        Self {
            document,
            sets: vec![set],
            reads_connection: Rc::default(),
        }
    }

    /// Whether what has been compiled selects the operation's connection.
    pub(super) fn reads_connection(&self) -> bool {
        self.reads_connection.get()
    }

    pub(super) fn mark_reads_connection(&self) {
        self.reads_connection.set(true);
    }

    fn is_empty(&self) -> bool {
        self.sets.iter().any(|set| set.items.is_empty())
    }

    /// None when something that is selected cannot be written.
    pub(super) fn compile<T: Object>(&self) -> Option<Selection<T::Source>> {
        let mut fields: Vec<(&Name, Vec<&'a FieldNode>)> = Vec::new();
        for set in &self.sets {
            self.collect::<T>(set, &mut fields)?;
        }
        let mut writers = Vec::with_capacity(fields.len());
        for (key, selected) in fields {
            let name = &selected.first()?.name.node;
            let same = selected.iter().all(|field| field.name.node == *name);
            let sets = SelectionSets {
                document: self.document,
                sets: selected
                    .iter()
                    .map(|field| &field.selection_set.node)
                    .collect(),
                reads_connection: Rc::clone(&self.reads_connection),
            };
            let field = match name.as_str() {
                "__typename" => leaf(|_| T::NAME),
                name => T::field(name, &sets)?,
            };
            let writer = match field {
                Field::Leaf(writer) if sets.is_empty() && same => writer,
                Field::Object(writer) if !sets.is_empty() && same => writer,
                _ => return None,
            };
            let first = if writers.is_empty() { '{' } else { ',' };
            writers.push((opening(first, key)?, writer));
        }
        Some(Selection(writers))
    }

    /// Gathers fields by the names that the client gives them, in the order in which they appear.
    fn collect<'b, T: Object>(
        &self,
        set: &'a SelectionSet,
        fields: &mut Vec<(&'b Name, Vec<&'a FieldNode>)>,
    ) -> Option<()>
    where
        'a: 'b,
    {
        for selection in &set.items {
            if !selection.node.directives().is_empty() {
                return None;
            }
            let (condition, set) = match &selection.node {
                Selected::Field(field) if field.node.arguments.is_empty() => {
                    let (key, field) = (&field.node.response_key().node, &field.node);
                    match fields.iter_mut().find(|(other, _)| *other == key) {
                        Some((_, same)) => same.push(field),
                        None => fields.push((key, vec![field])),
                    }
                    continue;
                }
                Selected::Field(_) => return None,
                Selected::InlineFragment(fragment) => (
                    fragment.node.type_condition.as_ref(),
                    &fragment.node.selection_set.node,
                ),
                Selected::FragmentSpread(spread) => {
                    let fragments = &self.document.fragments;
                    let fragment = &fragments.get(&spread.node.fragment_name.node)?.node;
                    if !fragment.directives.is_empty() {
                        return None;
                    }
                    (Some(&fragment.type_condition), &fragment.selection_set.node)
                }
            };
            let applies = condition.is_none_or(|condition| {
                let on = condition.node.on.node.as_str();
                on == T::NAME || T::INTERFACES.contains(&on)
            });
            if applies {
                self.collect::<T>(set, fields)?;
            }
        }
        Some(())
    }
}

/// What stands before a field's value.
pub(super) fn opening(first: char, key: &Name) -> Option<Vec<u8>> {
    let key = serde_json::to_string(key.as_str()).ok()?;
    Some(format!("{first}{key}:").into_bytes())
}

/// Writes what `value` makes of the source.
pub(super) fn leaf<T, V: Serialize>(value: impl Fn(&T) -> V + Send + Sync + 'static) -> Field<T> {
    Field::Leaf(Box::new(move |source, json| {
        serde_json::to_writer(json, &value(source))
    }))
}

/// Writes what is in the source.
pub(super) fn held<T: 'static, V: Serialize + ?Sized + 'static>(
    value: for<'s> fn(&'s T) -> &'s V,
) -> Field<T> {
    Field::Leaf(Box::new(move |source, json| {
        serde_json::to_writer(json, value(source))
    }))
}

/// Writes an object.
pub(super) fn object<T>(
    write: impl Fn(&T, &mut Vec<u8>) -> serde_json::Result<()> + Send + Sync + 'static,
) -> Field<T> {
    Field::Object(Box::new(write))
}

/// Writes an object, or null.
pub(super) fn nullable<T, V: 'static>(
    value: impl for<'s> Fn(&'s T) -> Option<&'s V> + Send + Sync + 'static,
    write: impl Fn(&V, &mut Vec<u8>) -> serde_json::Result<()> + Send + Sync + 'static,
) -> Field<T> {
    object(move |source, json| match value(source) {
        Some(value) => write(value, json),
        None => serde_json::to_writer(json, &()),
    })
}
