//! Types of the schema, with the properties that limits and completion need.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use async_graphql::{
    OutputType, SubscriptionType,
    parser::types::{OperationType, Type},
    registry::{MetaField, MetaInputValue, MetaType, Registry},
};

use super::{FieldPolicy, PagedField};

/// Objects and interfaces of a schema by their names. Clones share them.
#[derive(Clone, Debug)]
pub struct SchemaTypes(Arc<Inner>);

/// Types read from a schema.
#[derive(Debug)]
struct Inner {
    types: HashMap<String, Composite>,
    roots: Roots,
    secret_mutations: Arc<str>,
}

/// Names of the root types.
#[derive(Debug)]
struct Roots {
    query: String,
    mutation: String,
    subscription: String,
}

/// Root field of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootField {
    /// Kind of the operations that select it.
    pub kind: OperationType,
    /// Name of the field.
    pub name: String,
}

/// An object or an interface.
#[derive(Debug, Default)]
pub(crate) struct Composite {
    fields: HashMap<String, FieldInfo>,
    /// Interfaces and unions that the type belongs to.
    belongs_to: HashSet<String>,
}

/// Properties of a field for limits and completion.
#[derive(Debug)]
pub(crate) struct FieldInfo {
    /// Type of the field.
    pub(crate) ty: Type,
    /// Tells whether an argument, or a part of one, is marked as secret.
    pub(crate) takes_secret: bool,
    /// Tells whether the field is slow.
    pub(crate) is_slow: bool,
    /// Page that the field returns, if it returns one.
    pub(crate) page: Option<PagedField>,
}

impl Composite {
    /// Returns the field of this name; none for fields of introspection.
    pub(crate) fn field(&self, name: &str) -> Option<&FieldInfo> {
        self.fields.get(name)
    }
}

impl SchemaTypes {
    /// Reads the types of a schema with these roots, and the properties of fields in `policy`.
    pub fn new<Query, Mutation, Subscription>(policy: &FieldPolicy) -> Self
    where
        Query: OutputType,
        Mutation: OutputType,
        Subscription: SubscriptionType,
    {
        let mut registry = Registry::default();
        Query::create_type_info(&mut registry);
        Mutation::create_type_info(&mut registry);
        Subscription::create_type_info(&mut registry);
        let roots = Roots {
            query: Query::type_name().into_owned(),
            mutation: Mutation::type_name().into_owned(),
            subscription: Subscription::type_name().into_owned(),
        };
        let types = read(&registry, policy);
        let secret_mutations = secret_mutations(&registry, &roots, &types);
        Self(Arc::new(Inner {
            types,
            roots,
            secret_mutations,
        }))
    }

    /// Tells whether the type has this field.
    pub fn has_field(&self, type_name: &str, field: &str) -> bool {
        let found = self.get(type_name);
        found.is_some_and(|composite| composite.field(field).is_some())
    }

    /// Lists the root fields, which tell requests apart in metrics.
    pub fn root_fields(&self) -> Vec<RootField> {
        let kinds = [
            OperationType::Query,
            OperationType::Mutation,
            OperationType::Subscription,
        ];
        let fields = kinds.into_iter().flat_map(|kind| {
            let root = self.get(self.root(kind));
            let fields = root.into_iter().flat_map(|root| root.fields.keys());
            fields.map(move |field| RootField {
                kind,
                name: field.clone(),
            })
        });
        fields.collect()
    }

    /// Names the mutations that take a secret, as part of a sentence.
    pub(crate) fn secret_mutations(&self) -> Arc<str> {
        Arc::clone(&self.0.secret_mutations)
    }

    /// Returns the name of the root type for this kind of operation.
    pub(crate) fn root(&self, kind: OperationType) -> &str {
        match kind {
            OperationType::Query => &self.0.roots.query,
            OperationType::Mutation => &self.0.roots.mutation,
            OperationType::Subscription => &self.0.roots.subscription,
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Composite> {
        self.0.types.get(name)
    }

    /// Tells whether a fragment on `condition` applies to objects of the type `name`.
    pub(crate) fn is_a(&self, name: &str, condition: &str) -> bool {
        let belongs = |composite: &Composite| composite.belongs_to.contains(condition);
        name == condition || self.get(name).is_some_and(belongs)
    }
}

fn read(registry: &Registry, policy: &FieldPolicy) -> HashMap<String, Composite> {
    let mut types: HashMap<String, Composite> = HashMap::new();
    for (name, meta) in &registry.types {
        if let Some(fields) = meta.fields() {
            let info = |field: &MetaField| {
                Some(FieldInfo {
                    ty: Type::new(&field.ty)?,
                    takes_secret: takes_secret(registry, field),
                    is_slow: policy.is_slow(name, &field.name),
                    page: policy.page(name, &field.name),
                })
            };
            let fields = fields.values();
            let fields = fields.filter_map(|field| Some((field.name.clone(), info(field)?)));
            types.entry(name.clone()).or_default().fields = fields.collect();
        }
        if let MetaType::Interface { possible_types, .. } | MetaType::Union { possible_types, .. } =
            meta
        {
            for possible in possible_types {
                let possible = types.entry(possible.clone()).or_default();
                possible.belongs_to.insert(name.clone());
            }
        }
    }
    types
}

/// Tells whether an argument of the field, or a part of one at any depth, is marked as secret.
fn takes_secret(registry: &Registry, field: &MetaField) -> bool {
    let mut seen = HashSet::new();
    let mut inputs: Vec<&MetaInputValue> = field.args.values().collect();
    while let Some(input) = inputs.pop() {
        if input.is_secret {
            return true;
        }
        let name = input.ty.trim_matches(['[', ']', '!']);
        if let Some(MetaType::InputObject { input_fields, .. }) = registry.types.get(name)
            && seen.insert(name)
        {
            inputs.extend(input_fields.values());
        }
    }
    false
}

/// Names the mutations that take a secret in the order of the schema: `a, b and c`.
fn secret_mutations(
    registry: &Registry,
    roots: &Roots,
    types: &HashMap<String, Composite>,
) -> Arc<str> {
    let root = registry.types.get(&roots.mutation);
    let fields = root.and_then(MetaType::fields).into_iter().flatten();
    let info = types.get(&roots.mutation);
    let takes_secret = |name: &&str| {
        let field = info.and_then(|info| info.field(name));
        field.is_some_and(|field| field.takes_secret)
    };
    let names: Vec<&str> = fields
        .map(|(name, _)| name.as_str())
        .filter(takes_secret)
        .collect();
    match names.as_slice() {
        [rest @ .., before, last] => {
            let mut rest = rest.to_vec();
            let end = format!("{before} and {last}");
            rest.push(&end);
            rest.join(", ").into()
        }
        names => names.concat().into(),
    }
}
