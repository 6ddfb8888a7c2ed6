//! Endpoint: a schema with everything that it is served with.

use std::sync::Arc;

use async_graphql::{ObjectType, SchemaBuilder, SubscriptionType};
use axum::Router;
use futures_util::{FutureExt, future};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    document::{
        DocumentLimits, DocumentReader, Documents, FieldPolicy, SchemaTypes,
        trusted::TrustedDocuments,
    },
    execute::{SchemaExecutor, introspection::IntrospectionLock},
    hooks::{Anonymous, Hooks},
    http::{
        health::Readiness,
        hints::Hints,
        request_id::{NewRequestId, counting},
        scope::RequestScope,
    },
    metrics::ServerMetrics,
    net::{drain::DrainSchedule, limiter::ConcurrencyLimiter},
    options::ServerOptions,
    request::body::BodyReader,
    routes::router,
    service::GraphqlService,
};

/// Schema with everything that it is served with.
pub struct Endpoint<H> {
    /// Runs the schema.
    pub executor: SchemaExecutor,
    /// Reads documents and checks them against limits.
    pub reader: DocumentReader,
    /// Documents that may run; none for any.
    pub trusted: Option<TrustedDocuments>,
    /// Hooks of the product.
    pub hooks: Arc<H>,
    /// Checks whether the server can serve.
    pub readiness: Readiness,
    /// Generates request ids.
    pub new_request_id: NewRequestId,
    /// Metrics of the server.
    pub metrics: ServerMetrics,
    /// Routes besides `/graphql` and `/health`.
    ///
    /// They get an id, a span and the security headers, too; headers that they set themselves stay.
    pub routes: Router,
}

impl Endpoint<Anonymous> {
    /// Creates an endpoint without users for the schema that `build` makes.
    ///
    /// Resolvers find a [`RequestInfo`](crate::RequestInfo) in their context.
    pub fn new<Query, Mutation, Subscription>(
        build: impl Fn() -> SchemaBuilder<Query, Mutation, Subscription>,
    ) -> Self
    where
        Query: ObjectType + 'static,
        Mutation: ObjectType + 'static,
        Subscription: SubscriptionType + 'static,
    {
        let types = SchemaTypes::new::<Query, Mutation, Subscription>(&FieldPolicy::default());
        Self {
            executor: SchemaExecutor::new(build, types.clone()),
            reader: DocumentReader::new(DocumentLimits::default(), types),
            trusted: None,
            hooks: Arc::new(Anonymous),
            readiness: Arc::new(|| future::ready(Vec::new()).boxed()),
            new_request_id: counting(),
            metrics: ServerMetrics::default(),
            routes: Router::new(),
        }
    }
}

impl<H: Hooks> Endpoint<H> {
    /// Creates the request scope. `tasks` are the tasks that the server waits for when it stops.
    pub(crate) fn into_scope(
        self,
        options: &ServerOptions,
        shutdown: &CancellationToken,
        drain: &DrainSchedule,
        tasks: &TaskTracker,
    ) -> RequestScope {
        let service = Arc::new(GraphqlService {
            executor: self.executor,
            hooks: self.hooks,
            documents: Documents::new(self.reader, options.persisted_bytes, self.trusted),
            introspection: IntrospectionLock::default(),
            bodies: BodyReader::new(options),
            streams: ConcurrencyLimiter::default(),
            options: options.clone(),
            metrics: self.metrics,
            shutdown: shutdown.clone(),
            drain: drain.clone(),
            tasks: tasks.clone(),
        });
        RequestScope {
            new_request_id: self.new_request_id,
            metrics: service.metrics.clone(),
            options: options.clone(),
            hints: Hints::new(options.wording),
            routes: router::build(service, self.readiness, self.routes),
        }
    }
}
