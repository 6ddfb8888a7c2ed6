//! The schema. Resolvers hold no rules: they call a service and map its answer.

mod audit;
pub mod authentication;
mod compiled;
mod connection;
mod context;
mod error;
mod info_request;
mod loaders;
mod mutation;
mod operation;
mod policy;
mod query;
mod run_error;
mod scalars;
mod subscription;
mod user;

use async_graphql::{Schema, SchemaBuilder};
use graphql_server::document::{DocumentLimits, DocumentReader, SchemaTypes};

pub use authentication::GatewayHooks;
pub use context::RequestContext;
pub use error::{ApiError, ErrorCode};
pub use mutation::Mutation;
pub use query::Query;
pub use subscription::Subscriptions;

use crate::{
    accounts::Accounts,
    audit::Trail,
    connections::Connections,
    operations::{Attempts, Operations},
};

/// The gateway's schema with the services behind it.
pub type GatewaySchema = Schema<Query, Mutation, Subscriptions>;

/// The same, to be finished.
pub type GatewaySchemaBuilder = SchemaBuilder<Query, Mutation, Subscriptions>;

/// What resolvers call.
#[derive(Clone, Debug)]
pub struct Services {
    /// Users and sessions.
    pub accounts: Accounts,
    /// Status and claims.
    pub connections: Connections,
    /// Attempts to connect.
    pub operations: Operations,
    /// What was done and when.
    pub trail: Trail,
}

/// The schema over `services`, to be finished with limits of the caller's choosing.
pub fn schema(services: Services) -> SchemaBuilder<Query, Mutation, Subscriptions> {
    let attempts = Attempts::new(services.accounts.clone(), services.operations.clone());
    bare_schema()
        .data(loaders::users(services.accounts.clone()))
        .data(loaders::user_connections(services.connections.clone()))
        .data(attempts)
        .data(services.accounts)
        .data(services.connections)
        .data(services.operations)
        .data(services.trail)
}

/// The schema as text, as `schema.graphql` holds it.
pub fn sdl() -> String {
    bare_schema().finish().sdl()
}

/// The types of the schema, with the policy of its fields.
pub fn types() -> SchemaTypes {
    SchemaTypes::new::<Query, Mutation, Subscriptions>(&policy::fields())
}

/// Reads documents for the schema, and keeps with each how its events are written.
pub fn document_reader(limits: DocumentLimits, types: SchemaTypes) -> DocumentReader {
    DocumentReader::new(limits, types).with_extension(compiled::keep)
}

/// The schema without services, which documents can be validated against.
pub fn bare_schema() -> GatewaySchemaBuilder {
    Schema::build(Query, Mutation, Subscriptions)
}

#[cfg(test)]
mod tests {
    use async_graphql::{
        OutputType, SubscriptionType,
        registry::{MetaInputValue, MetaType, Registry},
    };

    use super::*;

    /// Texts and ids that a client may send and that are no secrets.
    const PUBLIC: [&str; 6] = [
        "after",
        "email",
        "id",
        "idempotencyKey",
        "infoRequestId",
        "operationId",
    ];

    /// What no secret fits into.
    const PLAIN: [&str; 3] = ["Boolean", "Float", "Int"];

    fn inputs(registry: &Registry) -> Vec<&MetaInputValue> {
        let mut inputs = Vec::new();
        for meta in registry.types.values() {
            match meta {
                MetaType::InputObject { input_fields, .. } => inputs.extend(input_fields.values()),
                MetaType::Object { fields, .. } => {
                    inputs.extend(fields.values().flat_map(|field| field.args.values()));
                }
                _ => {}
            }
        }
        inputs
    }

    #[test]
    fn every_text_is_secret_or_known_not_to_be() {
        let mut registry = Registry::default();
        Query::create_type_info(&mut registry);
        Mutation::create_type_info(&mut registry);
        <Subscriptions as SubscriptionType>::create_type_info(&mut registry);
        let texts: Vec<_> = inputs(&registry)
            .into_iter()
            // Lists too, and scalars and enums that may come.
            .filter(|input| {
                let name = input.ty.trim_matches(['[', ']', '!']);
                let is_object =
                    matches!(registry.types.get(name), Some(MetaType::InputObject { .. }));
                !is_object && !PLAIN.contains(&name)
            })
            .collect();
        assert!(texts.len() >= 8, "the schema's texts are found");
        for text in texts {
            let public = PUBLIC.contains(&text.name.as_str());
            assert_eq!(text.is_secret, !public, "{}", text.name);
        }
    }
}
