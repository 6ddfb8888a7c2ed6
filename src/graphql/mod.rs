//! The schema. Resolvers hold no rules: they call a service and map its answer.

mod audit;
mod compiled;
pub(crate) mod completion;
mod connection;
mod context;
pub mod documents;
mod error;
mod executor;
mod info_request;
pub mod limits;
mod loaders;
mod mutation;
mod operation;
mod query;
mod run_error;
mod scalars;
pub(crate) mod session_cookie;
mod subscription;
pub mod trusted;
mod user;
mod variables;

use async_graphql::{
    OutputType, Schema, SchemaBuilder, SubscriptionType, parser::types::OperationType,
    registry::Registry,
};

pub use context::{PeerAddress, RequestContext, RequestId};
pub use error::{ApiError, ErrorCode};
pub use executor::GatewayExecutor;
use loaders::{UserConnections, Users};
pub use mutation::Mutation;
pub use query::Query;
pub use subscription::Subscriptions;

use crate::{
    accounts::Accounts, attempts::Attempts, audit::Trail, connections::Connections,
    departure::Departures, operations::Operations,
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
    let departures = Departures::new(services.accounts.clone(), services.operations.clone());
    let attempts = Attempts::new(services.accounts.clone(), services.operations.clone());
    bare_schema()
        .data(Users::new(services.accounts.clone()))
        .data(UserConnections::new(services.connections.clone()))
        .data(departures)
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

/// The fields of the schema's roots, which tell requests apart in metrics.
pub fn root_fields() -> Vec<(OperationType, String)> {
    let mut registry = Registry::default();
    let roots = [
        (OperationType::Query, Query::create_type_info(&mut registry)),
        (
            OperationType::Mutation,
            Mutation::create_type_info(&mut registry),
        ),
        (
            OperationType::Subscription,
            <Subscriptions as SubscriptionType>::create_type_info(&mut registry),
        ),
    ];
    let fields_of = |name: &str| registry.concrete_type_by_name(name)?.fields();
    let mut root_fields = Vec::new();
    for (kind, name) in roots {
        let fields = fields_of(&name)
            .into_iter()
            .flat_map(|fields| fields.keys());
        root_fields.extend(fields.map(|field| (kind, field.clone())));
    }
    root_fields
}

fn bare_schema() -> SchemaBuilder<Query, Mutation, Subscriptions> {
    Schema::build(Query, Mutation, Subscriptions)
}

#[cfg(test)]
mod tests {
    use async_graphql::registry::{MetaInputValue, MetaType};

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
    fn root_fields_are_those_of_the_schema() {
        let fields = root_fields();
        for (kind, field) in [
            (OperationType::Query, "me"),
            (OperationType::Mutation, "signIn"),
            (OperationType::Subscription, "operationStatus"),
        ] {
            assert!(fields.contains(&(kind, field.to_owned())), "{field}");
        }
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
