//! Small schema with made-up accounts behind the real transports, on a real socket.

#![expect(clippy::unused_async, reason = "resolvers are async")]

use std::{
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use async_graphql::{Context, Error, Object, Request, Schema, SimpleObject, Subscription};
use axum::http::HeaderName;
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::{self, BoxFuture},
    stream,
};
use graphql_server::{
    Endpoint, ForeignPage, Hooks, Page, Problem, RequestInfo, Server, ServerOptions, Wording,
    bearer_token,
    document::{DocumentReader, FieldPolicy, SchemaTypes},
    execute::SchemaExecutor,
    hooks::{AuthenticationError, Invocation, Lifetime},
    metrics::ServerMetrics,
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::{sync::watch, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use url::Url;
use uuid::Uuid;

/// The longest that a test waits for anything.
const DEADLINE: Duration = Duration::from_secs(10);

/// Waits for `future`, and fails when it takes too long.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    timeout(DEADLINE, future).await.expect("took too long")
}

/// A token of Alice's.
pub(crate) const ALICE: &str = "alice-token";
/// Her browser's cookie.
pub(crate) const SESSION_COOKIE: &str = "session=alice-token";
/// A token of Bob's.
pub(crate) const BOB: &str = "bob-token";
/// A token that cannot be looked up.
pub(crate) const UNLUCKY: &str = "unlucky-token";
/// A token whose look-up never ends.
pub(crate) const SLOW: &str = "slow-token";

/// Finds the token that a request brings.
pub(crate) type Credentials = fn(Page<'_>) -> Result<Option<SecretString>, ForeignPage>;

/// The token of the request's header or, where there is none, of the cookie `session`, which pages of other
/// origins may not use.
fn credentials(page: Page<'_>) -> Result<Option<SecretString>, ForeignPage> {
    let headers = page.headers();
    if headers.contains_key("authorization") {
        return Ok(bearer_token(headers));
    }
    let cookie = headers.get("cookie").and_then(|value| value.to_str().ok());
    match cookie.and_then(|cookie| cookie.strip_prefix("session=")) {
        Some(_) if page.is_foreign() => Err(ForeignPage),
        token => Ok(token.map(SecretString::from)),
    }
}

/// Accounts that know the tokens above.
pub(crate) struct Accounts {
    credentials: Credentials,
    sessions_ended: watch::Sender<bool>,
}

impl Accounts {
    /// Ends everybody's session.
    pub(crate) fn end_sessions(&self) {
        self.sessions_ended.send_replace(true);
    }

    /// Returns the number of sockets and streams that wait for the end of a session.
    pub(crate) fn watchers(&self) -> usize {
        self.sessions_ended.receiver_count()
    }
}

/// Sender of a request.
struct Sender {
    user: Option<Uuid>,
    info: RequestInfo,
}

impl Hooks for Accounts {
    type Session = Uuid;

    fn credentials(&self, page: Page<'_>) -> Result<Option<SecretString>, ForeignPage> {
        (self.credentials)(page)
    }

    fn authenticate<'a>(
        &'a self,
        token: &'a SecretString,
        _: &'a RequestInfo,
        _: Lifetime,
    ) -> BoxFuture<'a, Result<Option<Uuid>, AuthenticationError>> {
        let user = match token.expose_secret() {
            ALICE => Some(Uuid::from_u128(1)),
            BOB => Some(Uuid::from_u128(2)),
            UNLUCKY => return future::err("the database is away".into()).boxed(),
            SLOW => return future::pending().boxed(),
            _ => None,
        };
        future::ok(user).boxed()
    }

    fn stream_key(&self, session: &Uuid) -> u128 {
        session.as_u128()
    }

    fn session_ended(&self, _: &Uuid) -> BoxFuture<'static, ()> {
        let mut ended = self.sessions_ended.subscribe();
        async move {
            let _ = ended.wait_for(|ended| *ended).await;
        }
        .boxed()
    }

    fn prepare_request(&self, request: Request, invocation: &Invocation<'_, Uuid>) -> Request {
        request.data(Sender {
            user: invocation.session.copied(),
            info: invocation.request.clone(),
        })
    }
}

/// The names that the gateway gives to what the texts are about.
const WORDING: Wording = Wording {
    server: "gateway",
    batch_limit: "MAX_BATCH_OPERATIONS",
    allowed_origins: "ALLOWED_ORIGINS",
    allowed_hosts: "ALLOWED_HOSTS",
    trusted_proxies: "TRUSTED_PROXIES",
};

#[derive(Clone, Debug, Default)]
struct Counter(Arc<AtomicUsize>);

pub(crate) struct Query;

#[derive(SimpleObject)]
#[graphql(complex)]
struct Node {
    name: String,
}

#[async_graphql::ComplexObject]
impl Node {
    async fn node(&self) -> Node {
        Node {
            name: self.name.clone(),
        }
    }
}

#[Object]
impl Query {
    async fn me(&self, context: &Context<'_>) -> async_graphql::Result<Option<String>> {
        let user = context.data::<Sender>()?.user;
        Ok(user.map(|user| user.to_string()))
    }

    async fn request_id(&self, context: &Context<'_>) -> async_graphql::Result<String> {
        Ok(context.data::<Sender>()?.info.id.to_string())
    }

    async fn peer(&self, context: &Context<'_>) -> async_graphql::Result<String> {
        Ok(context.data::<Sender>()?.info.client.to_string())
    }

    async fn length(&self, text: String) -> usize {
        text.len()
    }

    async fn number(&self, value: i32) -> i32 {
        value
    }

    async fn text(&self, length: usize) -> String {
        "x".repeat(length)
    }

    async fn fail(&self) -> async_graphql::Result<i32> {
        Err(Error::new("it failed"))
    }

    async fn panic(&self, #[graphql(default = true)] really: bool) -> i32 {
        assert!(!really, "on purpose");
        0
    }

    async fn wait(&self, context: &Context<'_>) -> async_graphql::Result<i32> {
        context.data::<Counter>()?.0.fetch_add(1, Ordering::SeqCst);
        future::pending().await
    }

    /// Takes a while, and may take long.
    async fn report(&self) -> i32 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        0
    }

    async fn node(&self) -> Node {
        Node {
            name: "node".into(),
        }
    }
}

pub(crate) struct Mutation;

#[Object]
impl Mutation {
    async fn increment(&self, context: &Context<'_>) -> async_graphql::Result<usize> {
        let counter = context.data::<Counter>()?;
        Ok(counter.0.fetch_add(1, Ordering::SeqCst) + 1)
    }

    async fn sign_in(&self, #[graphql(secret)] password: String) -> bool {
        password.len() > 7
    }

    async fn wait(&self) -> i32 {
        future::pending().await
    }
}

pub(crate) struct Subscriptions;

#[Subscription(name = "Subscription")]
impl Subscriptions {
    async fn count(&self, to: i32) -> impl Stream<Item = i32> {
        stream::iter(1..=to)
    }

    async fn never(&self) -> impl Stream<Item = i32> {
        stream::pending()
    }

    /// Streams one number, after a while.
    async fn late(&self) -> impl Stream<Item = i32> {
        stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            1
        })
    }

    /// Streams one number, then nothing.
    async fn once(&self) -> impl Stream<Item = i32> {
        stream::iter([1]).chain(stream::pending())
    }

    /// Long texts without end; counts them in [`Toy::count`].
    async fn flood(
        &self,
        context: &Context<'_>,
    ) -> async_graphql::Result<impl Stream<Item = String>> {
        let counter = context.data::<Counter>()?.clone();
        Ok(stream::repeat_with(move || {
            counter.0.fetch_add(1, Ordering::SeqCst);
            "x".repeat(64 * 1024)
        }))
    }

    async fn broken(&self) -> async_graphql::Result<stream::Pending<i32>> {
        Err(Error::new("no such thing"))
    }

    async fn panic(&self) -> impl Stream<Item = i32> {
        stream::iter(1..).inspect(|number| assert!(*number < 2, "on purpose"))
    }
}

/// Options with the gateway's words.
pub(crate) fn options() -> ServerOptions {
    ServerOptions {
        wording: WORDING,
        same_origin_headers: vec![HeaderName::from_static("x-session")],
        ..ServerOptions::default()
    }
}

/// A running server.
pub(crate) struct Toy {
    pub(crate) address: SocketAddr,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) running: JoinHandle<()>,
    counter: Counter,
}

impl Toy {
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

    /// The URL of a GET with these parameters.
    pub(crate) fn get_url(&self, parameters: &[(&str, &str)]) -> Url {
        Url::parse_with_params(&self.url("/graphql"), parameters).expect("a URL")
    }

    /// A POST of `body` as JSON.
    pub(crate) fn post(&self, body: &Value) -> reqwest::RequestBuilder {
        reqwest::Client::new().post(self.url("/graphql")).json(body)
    }

    /// Stops the server and waits for it.
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        soon(self.running).await.expect("the server panicked");
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(mut condition: impl FnMut() -> bool) {
    let mut look = pin!(async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    soon(look.as_mut()).await;
}
