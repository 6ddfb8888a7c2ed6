//! Serves any [`async_graphql`] schema by the specifications: GraphQL over HTTP, over WebSockets
//! (`graphql-transport-ws`), over server-sent events and over Apollo's multipart protocol.
//!
//! The transports are thin and the crate's own: the stock ones answer several cases of their protocols
//! wrongly. A request goes through the modules in this order: [`net`] accepts a connection, `http` reads a
//! request, `request` its parameters, [`document`] finds and bounds the document, [`execute`] runs it and
//! completes its answer, and `stream` and `websocket` carry the answers that come one after the other.
//!
//! [`Server::bind`] takes an address, [`Server::run`] serves an [`Endpoint`] on it. [`Hooks`] are a product's
//! own part: whose session a token is, and what resolvers are given.

pub mod document;
pub mod execute;
#[cfg(feature = "fuzzing")]
pub mod fuzz;
pub mod hooks;
mod http;
pub mod metrics;
pub mod net;
mod options;
mod request;
mod stream;
#[cfg(test)]
mod toy;
mod websocket;

pub use hooks::{Anonymous, Hooks};
pub use http::{
    health::{Problem, Readiness},
    page::{ForeignPage, Page},
    request_id::NewRequestId,
};
pub use net::server::{Endpoint, Server};
pub use options::{ServerOptions, Wording};
pub use request::{RequestId, RequestInfo, credentials::bearer_token};
