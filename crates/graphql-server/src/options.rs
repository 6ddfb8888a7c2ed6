//! Server options: limits and time-outs.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};

use crate::{
    document::DocumentLimits,
    net::{AllowedHosts, TrustedProxies},
};

/// Limits and time-outs of the transports, with defaults fit for production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// Bytes of a request body.
    pub body_limit: usize,
    /// Values in the JSON of an operation.
    pub value_limit: usize,
    /// Operations in one request, as a JSON list; 0 switches batches off.
    pub batch_limit: usize,
    /// Time limit of a request's head, and of the wait for the next request on a connection.
    pub head_timeout: Duration,
    /// Time limit of a request's body.
    pub body_timeout: Duration,
    /// Time limit of a query.
    pub query_timeout: Duration,
    /// Time limit of a mutation.
    pub mutation_timeout: Duration,
    /// Additional time for an operation with a slow field.
    pub slow_timeout: Duration,
    /// Time in which a peer must read a message, or 32 KiB of a longer one. Its connection is closed
    /// otherwise.
    pub write_timeout: Duration,
    /// Time limit of a socket's `connection_init`.
    pub socket_init_timeout: Duration,
    /// Bytes of a message on a socket.
    pub socket_message_limit: usize,
    /// Operations that run on one socket at once.
    pub operations_per_socket: usize,
    /// Open sockets and event streams of one user.
    pub streams_per_user: usize,
    /// Open sockets and event streams of anonymous clients.
    pub anonymous_streams: usize,
    /// Open connections.
    pub connections: usize,
    /// Open connections from one address, not counting loopback and private ones; none for any number.
    pub connections_per_address: Option<usize>,
    /// Interval of keep-alive messages on sockets and event streams. A socket whose peer is silent for
    /// two of them is closed.
    pub keep_alive: Duration,
    /// Time over which connections are ended when the server stops, so that clients do not reconnect all
    /// at once.
    ///
    /// Few connections take less: a millisecond each.
    pub reconnect_spread: Duration,
    /// Time limit for requests and sockets to end when the server stops.
    pub shutdown_timeout: Duration,
    /// Web origins, such as `https://app.example.com`, whose pages may use the server.
    pub allowed_origins: Vec<HeaderValue>,
    /// Request headers that pages of other origins may not send.
    pub same_origin_headers: Vec<HeaderName>,
    /// Hosts that the server answers for.
    pub allowed_hosts: AllowedHosts,
    /// Bytes of texts that are kept for automatic persisted queries; 0 switches them off.
    pub persisted_bytes: u64,
    /// Reverse proxies that are trusted with client addresses, https and request ids.
    pub trusted_proxies: TrustedProxies,
    /// Limits on documents.
    pub documents: DocumentLimits,
    /// Names in error messages and in the log.
    pub wording: Wording,
}

/// Names of the server and its options in error messages and in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wording {
    /// Name of the server: "server", or the name of a product.
    pub server: &'static str,
    /// Name of the setting for [`ServerOptions::batch_limit`].
    pub batch_limit: &'static str,
    /// Name of the setting for [`ServerOptions::allowed_origins`].
    pub allowed_origins: &'static str,
    /// Name of the setting for [`ServerOptions::allowed_hosts`].
    pub allowed_hosts: &'static str,
    /// Name of the setting for [`ServerOptions::trusted_proxies`].
    pub trusted_proxies: &'static str,
}

impl Default for Wording {
    fn default() -> Self {
        Self {
            server: "server",
            batch_limit: "batch_limit",
            allowed_origins: "allowed_origins",
            allowed_hosts: "allowed_hosts",
            trusted_proxies: "trusted_proxies",
        }
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            body_limit: 1024 * 1024,
            value_limit: 2_000,
            batch_limit: 0,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            query_timeout: Duration::from_secs(30),
            mutation_timeout: Duration::from_mins(1),
            slow_timeout: Duration::from_mins(3),
            write_timeout: Duration::from_secs(30),
            socket_init_timeout: Duration::from_secs(3),
            socket_message_limit: 64 * 1024,
            operations_per_socket: 32,
            streams_per_user: 64,
            anonymous_streams: 1_000,
            connections: 50_000,
            connections_per_address: Some(1_000),
            keep_alive: Duration::from_secs(25),
            reconnect_spread: Duration::from_secs(3),
            shutdown_timeout: Duration::from_secs(10),
            allowed_origins: Vec::new(),
            same_origin_headers: Vec::new(),
            allowed_hosts: AllowedHosts::default(),
            persisted_bytes: 1024 * 1024,
            trusted_proxies: TrustedProxies::default(),
            documents: DocumentLimits::default(),
            wording: Wording::default(),
        }
    }
}
