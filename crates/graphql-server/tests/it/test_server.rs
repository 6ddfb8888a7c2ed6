//! Test server: the real transports on a real socket, with a small schema and made-up accounts.

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_graphql::Schema;
use axum::http::HeaderName;
use futures_util::future::{self};
use graphql_server::{
    Endpoint, Problem, Server, ServerOptions, Wording,
    document::{DocumentReader, FieldPolicy, SchemaTypes},
    execute::SchemaExecutor,
    metrics::ServerMetrics,
};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

use crate::{
    test_accounts::{Accounts, Credentials, credentials},
    test_schema::{Counter, Mutation, Query, Subscriptions},
};

/// Time limit of every wait.
const DEADLINE: Duration = Duration::from_secs(10);

/// Waits for `future`, and fails when it takes too long.
pub(crate) async fn within_deadline<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("took too long")
}

/// Names of the server and its settings in messages.
const WORDING: Wording = Wording {
    server: "test server",
    batch_limit: "MAX_BATCH_OPERATIONS",
    allowed_origins: "ALLOWED_ORIGINS",
    allowed_hosts: "ALLOWED_HOSTS",
    trusted_proxies: "TRUSTED_PROXIES",
};

/// Options with those names.
pub(crate) fn options() -> ServerOptions {
    ServerOptions {
        wording: WORDING,
        same_origin_headers: vec![HeaderName::from_static("x-session")],
        ..ServerOptions::default()
    }
}

/// Running server.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: JoinHandle<()>,
    counter: Counter,
}

impl TestServer {
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// Starts with changed options.
    pub(crate) async fn with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        Self::with_credentials(credentials, change).await
    }

    /// Starts with another rule for credentials.
    pub(crate) async fn with_credentials(
        credentials: Credentials,
        change: impl FnOnce(&mut ServerOptions),
    ) -> Self {
        let mut options = options();
        change(&mut options);
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::serving(any_port, options, Vec::new(), credentials).await
    }

    /// Starts with parts that are not ready.
    pub(crate) async fn listening(
        address: SocketAddr,
        options: ServerOptions,
        problems: Vec<Problem>,
    ) -> Self {
        Self::serving(address, options, problems, credentials).await
    }

    async fn serving(
        address: SocketAddr,
        options: ServerOptions,
        problems: Vec<Problem>,
        credentials: Credentials,
    ) -> Self {
        let counter = Counter::default();
        let schema = || Schema::build(Query, Mutation, Subscriptions).data(counter.clone());
        let policy = FieldPolicy::default().slow("Query", "report");
        let types = SchemaTypes::new::<Query, Mutation, Subscriptions>(&policy);
        let accounts = Arc::new(Accounts {
            credentials,
            sessions_ended: watch::Sender::new(false),
        });
        let ids = AtomicUsize::new(0);
        let routes = axum::Router::new().route(
            "/extra",
            axum::routing::get(async || ([("cache-control", "max-age=60")], "extra")),
        );
        let endpoint = Endpoint {
            metrics: ServerMetrics::default(),
            executor: SchemaExecutor::new(schema, types.clone()),
            reader: DocumentReader::new(options.documents, types),
            hooks: Arc::clone(&accounts),
            readiness: Arc::new(move || Box::pin(future::ready(problems.clone()))),
            new_request_id: Arc::new(move || {
                let id = ids.fetch_add(1, Ordering::SeqCst);
                Uuid::from_u128(u128::try_from(id).expect("a number")).to_string()
            }),
            trusted: None,
            routes,
        };
        let server = Server::bind(address, options).await.expect("bind");
        let address = server.local_addr();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(server.run(endpoint, shutdown.clone()));
        Self {
            address,
            accounts,
            shutdown,
            running,
            counter,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Returns how often `increment` and the query `wait` ran, and how many texts `flood` made.
    pub(crate) fn count(&self) -> usize {
        self.counter.0.load(Ordering::SeqCst)
    }

    /// Returns the URL of a GET with these parameters.
    pub(crate) fn get_url(&self, parameters: &[(&str, &str)]) -> Url {
        Url::parse_with_params(&self.url("/graphql"), parameters).expect("a URL")
    }

    /// Builds a POST of `body` as JSON.
    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        reqwest::Client::new().post(self.url("/graphql")).json(body)
    }

    /// Stops the server and waits for it.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        within_deadline(self.running)
            .await
            .expect("the server panicked");
    }
}

/// Waits until `condition` holds.
pub(crate) async fn wait_until(mut condition: impl FnMut() -> bool) {
    let mut look = pin!(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    within_deadline(look.as_mut()).await;
}
