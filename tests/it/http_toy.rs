//! A small schema and made-up accounts behind the real transports, on a real socket.

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

use async_graphql::{Context, Error, Object, Schema, SimpleObject, Subscription};
use chrono::DateTime;
use futures_util::{
    Stream, StreamExt,
    future::{self, BoxFuture},
    stream,
};
use intuned_gateway::{
    accounts::{AccountError, Caller},
    ambient::Random,
    audit::Origin,
    http::{Authenticator, HttpSettings, Problem, RequestContext, Server, Service},
    metrics::HttpMetrics,
};
use sea_orm::DbErr;
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
pub(crate) const SESSION_COOKIE: &str = "intuned_gateway_session=alice-token";
/// A token of Bob's.
pub(crate) const BOB: &str = "bob-token";
/// A token that cannot be looked up.
pub(crate) const UNLUCKY: &str = "unlucky-token";
/// A token whose look-up never ends.
pub(crate) const SLOW: &str = "slow-token";

/// Accounts that know the tokens above.
#[derive(Debug)]
pub(crate) struct Accounts {
    sessions_ended: watch::Sender<bool>,
}

impl Accounts {
    /// Ends everybody's session.
    pub(crate) fn end_sessions(&self) {
        self.sessions_ended.send_replace(true);
    }

    /// How many sockets and streams wait for the end of a session.
    pub(crate) fn watchers(&self) -> usize {
        self.sessions_ended.receiver_count()
    }
}

impl Authenticator for Accounts {
    fn authenticate<'a>(
        &'a self,
        token: &'a str,
        _: Origin,
    ) -> BoxFuture<'a, Result<Caller, AccountError>> {
        let user = match token {
            ALICE => Uuid::from_u128(1),
            BOB => Uuid::from_u128(2),
            UNLUCKY => {
                let error = DbErr::Custom("the database is away".into());
                return Box::pin(future::err(AccountError::Database(error)));
            }
            SLOW => return Box::pin(future::pending()),
            _ => return Box::pin(future::err(AccountError::InvalidToken)),
        };
        Box::pin(future::ok(Caller {
            user_id: user,
            session_id: user,
            expires_at: DateTime::UNIX_EPOCH,
        }))
    }

    fn session_ended(&self, _: Caller) -> BoxFuture<'static, ()> {
        let mut ended = self.sessions_ended.subscribe();
        Box::pin(async move {
            let _ = ended.wait_for(|ended| *ended).await;
        })
    }
}

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
        let caller = context.data::<RequestContext>()?.caller;
        Ok(caller.map(|caller| caller.user_id.to_string()))
    }

    async fn request_id(&self, context: &Context<'_>) -> async_graphql::Result<String> {
        Ok(context.data::<RequestContext>()?.request_id.to_string())
    }

    async fn peer(&self, context: &Context<'_>) -> async_graphql::Result<String> {
        Ok(context.data::<RequestContext>()?.peer.0.to_string())
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

    /// Takes a while, as claims do.
    async fn claims(&self) -> i32 {
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

    /// One number, after a while.
    async fn late(&self) -> impl Stream<Item = i32> {
        stream::once(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            1
        })
    }

    /// One number, then silence.
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

    /// With some of the settings changed.
    pub(crate) async fn with(change: impl FnOnce(&mut HttpSettings)) -> Self {
        let mut settings = HttpSettings::default();
        change(&mut settings);
        let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
        Self::listening(any_port, settings, Vec::new()).await
    }

    /// With parts that are not ready.
    pub(crate) async fn listening(
        address: SocketAddr,
        settings: HttpSettings,
        problems: Vec<Problem>,
    ) -> Self {
        let counter = Counter::default();
        let schema = Schema::build(Query, Mutation, Subscriptions)
            .data(counter.clone())
            .finish();
        let accounts = Arc::new(Accounts {
            sessions_ended: watch::Sender::new(false),
        });
        let authenticator: Arc<dyn Authenticator> = Arc::clone(&accounts) as _;
        let extra = axum::Router::new().route(
            "/extra",
            axum::routing::get(async || ([("cache-control", "max-age=60")], "extra")),
        );
        let service = Service {
            metrics: HttpMetrics::default(),
            executor: schema,
            authenticator,
            readiness: Arc::new(move || Box::pin(future::ready(problems.clone()))),
            random: Random::from_seed(1),
            trusted: None,
            extra,
        };
        let server = Server::bind(address, settings).await.expect("bind");
        let address = server.local_addr();
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(server.run(service, shutdown.clone()));
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

    /// How often `increment` and the query `wait` ran, and how many texts `flood` made.
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
