//! Options: what the transports allow and how long they wait.

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue};

use crate::{
    document::DocumentLimits,
    net::{AllowedHosts, TrustedProxies},
};

/// Limits and waits of the transports, with defaults that are fit for production.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerOptions {
    /// The longest request body, in bytes.
    pub body_limit: usize,
    /// How many values the JSON of an operation may have.
    pub value_limit: usize,
    /// Operations that one request may have, as a JSON list; 0 for none: one at a time, and no list.
    pub batch_limit: usize,
    /// The longest wait for a request's head, and for the next request on an open connection.
    pub head_timeout: Duration,
    /// The longest wait for a request's whole body.
    pub body_timeout: Duration,
    /// How long a query may run.
    pub query_timeout: Duration,
    /// How long a mutation may run.
    pub mutation_timeout: Duration,
    /// How much longer either may run when it has a slow field.
    pub slow_timeout: Duration,
    /// For so long a peer may take over a message, or over 32 KiB of a longer one, before its connection is
    /// closed.
    pub write_timeout: Duration,
    /// The longest wait for a socket's `connection_init`.
    pub socket_init_timeout: Duration,
    /// The longest message on a socket, in bytes.
    pub socket_message_limit: usize,
    /// Operations that may run on one socket at once.
    pub operations_per_socket: usize,
    /// Sockets and event streams that one user may have open at once.
    pub streams_per_user: usize,
    /// Sockets and event streams of nobody in particular that may be open at once.
    pub anonymous_streams: usize,
    /// Connections that may be open at once.
    pub connections: usize,
    /// Those of them that may come from one address, other than a loopback or a private one; none for
    /// any number.
    pub connections_per_address: Option<usize>,
    /// Pause between two signs of life on a quiet socket or event stream. A socket that shows none
    /// itself from one to the next is closed.
    pub keep_alive: Duration,
    /// Over how long the goodbyes are spread when the server stops, so that clients do not come back all
    /// at once. Few sockets take less: a millisecond each.
    pub reconnect_spread: Duration,
    /// How long requests and sockets may take to end when the server stops.
    pub shutdown_timeout: Duration,
    /// Web origins, such as `https://app.example.com`, whose pages may call the server.
    pub allowed_origins: Vec<HeaderValue>,
    /// Request headers that pages of other origins may not send, whatever their preflights ask for.
    pub same_origin_headers: Vec<HeaderName>,
    /// Hosts that the server answers for.
    pub allowed_hosts: AllowedHosts,
    /// Bytes of query texts that are kept for clients that send their hashes; 0 for none.
    pub persisted_bytes: u64,
    /// Reverse proxies that tell who a client is, whether it came over https, and what a request is called.
    pub trusted_proxies: TrustedProxies,
    /// What a query document may ask for.
    pub documents: DocumentLimits,
    /// Names in texts for people.
    pub wording: Wording,
}

/// The names of things in texts for people: in refusals, and in hints in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wording {
    /// The server itself: "server", or what a product calls it.
    pub server: &'static str,
    /// The setting for [`ServerOptions::batch_limit`].
    pub batch_limit: &'static str,
    /// The setting for [`ServerOptions::allowed_origins`].
    pub allowed_origins: &'static str,
    /// The setting for [`ServerOptions::allowed_hosts`].
    pub allowed_hosts: &'static str,
    /// The setting for [`ServerOptions::trusted_proxies`].
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
