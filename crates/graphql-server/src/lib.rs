//! GraphQL server for any [`async_graphql`] schema.
//!
//! It serves GraphQL over HTTP, over WebSockets (`graphql-transport-ws`), over server-sent events and
//! over Apollo's multipart protocol. The transports are the crate's own: those of async-graphql's
//! integrations get several cases of the protocols wrong.
//!
//! A request goes through the modules in this order. [`net`] accepts a connection, `http` assigns an id and
//! a span, and `routes` select the handler. `request` reads the parameters. [`document`] finds the document
//! and checks it against limits. [`execute`] runs it and completes the result. `stream` and `websocket` send
//! results that come one after the other.
//!
//! [`Server::bind`] takes an address, and [`Server::run`] serves an [`Endpoint`] on it. [`Hooks`] are the
//! part of a product: sessions, and the data for resolvers.

pub mod document;
mod endpoint;
pub mod execute;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
pub mod hooks;
mod http;
pub mod metrics;
pub mod net;
mod options;
mod request;
mod routes;
mod server;
mod service;
mod stream;
#[cfg(test)]
mod test_schema;
mod websocket;

pub use endpoint::Endpoint;
pub use hooks::{Anonymous, Hooks};
pub use http::{
    health::{Problem, Readiness},
    request_id::NewRequestId,
};
pub use options::{ServerOptions, Wording};
pub use request::{
    RequestId, RequestInfo,
    credentials::bearer_token,
    page::{ForeignPage, Page},
};
pub use server::Server;
