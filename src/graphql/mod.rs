//! The schema. Resolvers hold no rules: they call a service and map its answer.

mod connection;
mod context;
pub mod documents;
mod error;
mod executor;
pub mod limits;
mod loaders;
mod mutation;
mod operation;
mod query;
mod scalars;
mod subscription;
mod user;

use async_graphql::{Schema, SchemaBuilder, dataloader::DataLoader};

pub use context::RequestId;
pub use error::{ApiError, ErrorCode};
pub use executor::GatewayExecutor;
use loaders::{UserConnections, Users};
pub use mutation::Mutation;
pub use query::Query;
pub use subscription::Subscriptions;

use crate::{accounts::Accounts, connections::Connections, operations::Operations};

/// The gateway's schema with the services behind it.
pub type GatewaySchema = Schema<Query, Mutation, Subscriptions>;

/// What resolvers call.
#[derive(Clone, Debug)]
pub struct Services {
    /// Users and sessions.
    pub accounts: Accounts,
    /// Status and claims.
    pub connections: Connections,
    /// Attempts to connect.
    pub operations: Operations,
}

/// The schema over `services`, to be finished with limits of the caller's choosing.
pub fn schema(services: Services) -> SchemaBuilder<Query, Mutation, Subscriptions> {
    let users = DataLoader::new(Users(services.accounts.clone()), tokio::spawn);
    let connections = UserConnections(services.connections.clone());
    bare_schema()
        .data(users)
        .data(DataLoader::new(connections, tokio::spawn))
        .data(services.accounts)
        .data(services.connections)
        .data(services.operations)
}

/// The schema as text, as `schema.graphql` holds it.
pub fn sdl() -> String {
    bare_schema().finish().sdl()
}

fn bare_schema() -> SchemaBuilder<Query, Mutation, Subscriptions> {
    Schema::build(Query, Mutation, Subscriptions)
}
