//! Serving: GraphQL over HTTP, server-sent events and WebSockets, health, and what surrounds them.
//!
//! The transports are our own and thin, over [`async_graphql::Executor`]: the stock ones answer several
//! cases of their protocols wrongly. [`Server::bind`] takes an address, [`Server::run`] serves a
//! [`Service`] on it.

mod admission;
mod answer;
mod batch;
mod body;
mod caller;
mod connection;
mod cookie;
mod cors;
mod departures;
mod forwarded;
mod framing;
mod front;
#[cfg(feature = "fuzzing")]
pub(crate) mod fuzz;
mod gateway;
mod handlers;
mod health;
mod hints;
mod hosts;
mod introspection;
mod media;
mod multipart;
mod origin;
mod pages;
mod parameters;
mod patience;
mod refusal;
mod request_id;
mod router;
mod seats;
mod server;
mod settings;
mod sse;
mod streams;
mod websocket;
mod words;
mod written;

pub use crate::graphql::{PeerAddress, RequestContext, RequestId};
pub use caller::Authenticator;
pub use forwarded::TrustedProxies;
pub use health::{Problem, Readiness};
pub use hosts::{AllowedHost, AllowedHosts};
pub use pages::{ConsoleFacts, DemoAccountFacts, pages};
pub use server::{Server, Service};
pub use settings::HttpSettings;
