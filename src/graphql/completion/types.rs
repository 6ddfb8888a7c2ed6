//! The types of the schema, as far as they say what an answer looks like.

use std::collections::{HashMap, HashSet};

use async_graphql::{
    OutputType, SubscriptionType,
    parser::types::{OperationType, Type},
    registry::{MetaType, Registry},
};

use crate::graphql::{Mutation, Query, Subscriptions};

/// Every object and interface by its name.
#[derive(Debug)]
pub(in crate::graphql) struct Types(HashMap<String, Composite>);

/// An object or an interface.
#[derive(Debug, Default)]
pub(super) struct Composite {
    fields: HashMap<String, Type>,
    /// The interfaces and unions that it belongs to.
    belongs_to: HashSet<String>,
}

impl Composite {
    /// What the field's values are; none for the fields of introspection.
    pub(super) fn field(&self, name: &str) -> Option<&Type> {
        self.fields.get(name)
    }
}

impl Types {
    /// Those of the gateway's schema.
    pub(in crate::graphql) fn of_the_schema() -> Self {
        let mut registry = Registry::default();
        Query::create_type_info(&mut registry);
        Mutation::create_type_info(&mut registry);
        <Subscriptions as SubscriptionType>::create_type_info(&mut registry);
        Self::from(&registry)
    }

    pub(super) fn get(&self, name: &str) -> Option<&Composite> {
        self.0.get(name)
    }

    /// Whether a fragment on `condition` is for objects of the type `name`.
    pub(super) fn is_a(&self, name: &str, condition: &str) -> bool {
        let belongs = |composite: &Composite| composite.belongs_to.contains(condition);
        name == condition || self.get(name).is_some_and(belongs)
    }
}

impl From<&Registry> for Types {
    fn from(registry: &Registry) -> Self {
        let mut types: HashMap<String, Composite> = HashMap::new();
        for (name, meta) in &registry.types {
            if let Some(fields) = meta.fields() {
                let read = |(name, field): (&String, &async_graphql::registry::MetaField)| {
                    Some((name.clone(), Type::new(&field.ty)?))
                };
                let fields = fields.iter().filter_map(read);
                types.entry(name.clone()).or_default().fields = fields.collect();
            }
            if let MetaType::Interface { possible_types, .. }
            | MetaType::Union { possible_types, .. } = meta
            {
                for possible in possible_types {
                    let possible = types.entry(possible.clone()).or_default();
                    possible.belongs_to.insert(name.clone());
                }
            }
        }
        Self(types)
    }
}

/// The type that operations of this kind begin at.
pub(super) fn root(kind: OperationType) -> &'static str {
    match kind {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    }
}
