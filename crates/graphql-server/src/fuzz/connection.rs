//! Connection of the fuzz targets to the real routes, in memory and on a paused clock.

#![expect(clippy::panic, reason = "a fuzz target tells what is wrong by a panic")]

use std::{
    convert::Infallible,
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

use async_graphql::{Request, Response, Value};
use axum::{Router, body::Body};
use futures_util::{
    FutureExt, StreamExt,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    runtime::{Builder, Runtime},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::document::types;
use crate::{
    document::{Document, DocumentLimits, DocumentReader},
    endpoint::Endpoint,
    execute::{Execute, SchemaExecutor},
    hooks::{AuthenticationError, Hooks, Invocation, Lifetime},
    http::scope::RequestScope,
    metrics::ServerMetrics,
    net::{TrustedProxies, drain::DrainSchedule},
    options::ServerOptions,
    request::RequestInfo,
};

/// Address of all connections, which is that of a trusted proxy.
const PROXY: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The only valid token.
const TOKEN: &str = "alice";

struct Harness {
    runtime: Runtime,
    scope: Arc<RequestScope>,
}

thread_local! {
    static HARNESS: Harness = Harness::new();
}

impl Harness {
    fn new() -> Self {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .start_paused(true)
            .build()
            .unwrap_or_else(|error| panic!("no runtime: {error}"));
        let options = ServerOptions {
            body_limit: 64 * 1024,
            batch_limit: 4,
            trusted_proxies: TrustedProxies(vec![PROXY.into()]),
            ..ServerOptions::default()
        };
        let endpoint = Endpoint {
            executor: SchemaExecutor::from_executor(FixedExecutor),
            reader: DocumentReader::new(DocumentLimits::default(), types()),
            hooks: Arc::new(OneToken),
            readiness: Arc::new(|| future::ready(Vec::new()).boxed()),
            new_request_id: Arc::new(|| "id".to_owned()),
            trusted: None,
            metrics: ServerMetrics::default(),
            routes: Router::new(),
        };
        let (shutdown, drain) = (CancellationToken::new(), DrainSchedule::new());
        let scope = endpoint.into_scope(&options, &shutdown, &drain, &TaskTracker::new());
        Self {
            scope: Arc::new(scope),
            runtime,
        }
    }
}

/// Returns all output for `input`.
pub(super) fn exchange(input: Vec<u8>) -> Vec<u8> {
    HARNESS.with(|harness| {
        let scope = Arc::clone(&harness.scope);
        harness.runtime.block_on(async move {
            let (client, server) = duplex(64 * 1024);
            let serving = tokio::spawn(serve(server, scope));
            let output = talk(client, input).await;
            assert!(serving.await.is_ok(), "serving panicked");
            output
        })
    })
}

async fn serve(stream: DuplexStream, scope: Arc<RequestScope>) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let scope = Arc::clone(&scope);
        async move { Ok::<_, Infallible>(scope.respond(request.map(Body::new), PROXY).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .max_buf_size(64 * 1024)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    let _ = connection.await;
}

async fn talk(client: DuplexStream, input: Vec<u8>) -> Vec<u8> {
    let (mut from, mut to) = tokio::io::split(client);
    let mut output = Vec::new();
    let write = async {
        // The server may close the connection in the middle.
        let _ = to.write_all(&input).await;
    };
    let ((), read) = tokio::join!(write, from.read_to_end(&mut output));
    assert!(read.is_ok());
    output
}

/// Hooks that know one token.
struct OneToken;

impl Hooks for OneToken {
    type Session = ();

    fn authenticate<'a>(
        &'a self,
        token: &'a SecretString,
        _: &'a RequestInfo,
        _: Lifetime,
    ) -> BoxFuture<'a, Result<Option<()>, AuthenticationError>> {
        let known = (token.expose_secret() == TOKEN).then_some(());
        future::ok(known).boxed()
    }

    fn stream_key(&self, (): &()) -> u128 {
        1
    }

    fn session_ended(&self, (): &()) -> BoxFuture<'static, ()> {
        future::pending().boxed()
    }

    fn prepare_request(&self, request: Request, _: &Invocation<'_, ()>) -> Request {
        request
    }
}

/// Executor that does not execute: the code around it is under test.
struct FixedExecutor;

impl Execute for FixedExecutor {
    fn execute(&self, _: Request, _: Arc<Document>) -> BoxFuture<'_, Response> {
        future::ready(Response::new(Value::Null)).boxed()
    }

    fn execute_stream(&self, _: Request, _: &Arc<Document>) -> BoxStream<'static, Response> {
        stream::repeat_with(|| Response::new(Value::Null))
            .take(3)
            .boxed()
    }
}
