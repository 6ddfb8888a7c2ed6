//! The service that all transports share: it prepares operations and runs them.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_graphql::{Request, Variables, parser::types::OperationType};
use futures_util::{
    FutureExt, Stream, StreamExt,
    stream::{self, BoxStream},
};
use secrecy::SecretString;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, Span, error};

use super::{ExecutionResult, SchemaExecutor, introspection::IntrospectionTurn};
use crate::{
    document::{DocumentError, Documents, PreparedDocument},
    hooks::{Hooks, Invocation, Lifetime},
    http::{body::BodyReader, page::Page},
    metrics::{OpenStream, RequestSeries, Running, ServerMetrics, StreamEnd, StreamWatch},
    net::{
        drain::DrainSchedule,
        limiter::{ConcurrencyLimiter, Permit},
    },
    options::ServerOptions,
    request::{RequestId, RequestInfo, error::RequestError, parameters::Parameters},
};

/// A place among the sockets and event streams of one holder, or of nobody.
pub(crate) type StreamPermit = Permit<Option<u128>>;

/// The schema with all that the handlers need to serve it.
pub(crate) struct GraphqlService<H: Hooks> {
    pub(crate) executor: SchemaExecutor,
    pub(crate) hooks: Arc<H>,
    pub(crate) documents: Documents,
    pub(crate) introspection: IntrospectionTurn,
    pub(crate) options: ServerOptions,
    pub(crate) bodies: BodyReader,
    /// The sockets and event streams of each holder, and of nobody.
    pub(crate) streams: ConcurrencyLimiter<Option<u128>>,
    pub(crate) metrics: ServerMetrics,
    /// Cancelled when the server stops.
    pub(crate) shutdown: CancellationToken,
    /// Tells each socket and event stream when to leave then.
    pub(crate) drain: DrainSchedule,
    /// Everything that the server waits for when it stops.
    pub(crate) tasks: TaskTracker,
}

/// The sender of an operation: who it is, and on which request and page it comes.
pub(crate) struct Sender<'a, S> {
    pub(crate) session: Option<&'a S>,
    pub(crate) request: &'a RequestInfo,
    /// None on a socket.
    pub(crate) page: Option<Page<'a>>,
}

/// An operation that is ready to run.
pub(crate) struct PreparedOperation {
    request: Request,
    info: RequestInfo,
    series: Arc<RequestSeries>,
    prepared: PreparedDocument,
}

impl PreparedOperation {
    /// Query, mutation or subscription.
    pub(crate) fn kind(&self) -> OperationType {
        self.prepared.kind
    }

    /// The operation's name, where it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.prepared.name.as_deref()
    }

    /// Tells whether it takes a secret, of which there is one for each request.
    pub(crate) fn takes_secret(&self) -> bool {
        self.kind() == OperationType::Mutation && self.prepared.document.findings.secrets > 0
    }

    /// The request that the executor is given, with its document.
    fn into_request(mut self) -> (Request, PreparedDocument) {
        self.request.operation_name.clone_from(&self.prepared.name);
        (self.request, self.prepared)
    }
}

impl<H: Hooks> GraphqlService<H> {
    /// Whoever the token is of: nobody known when it is absent or not valid.
    pub(crate) async fn authenticate(
        &self,
        token: Option<SecretString>,
        request: &RequestInfo,
        lifetime: Lifetime,
    ) -> Result<Option<H::Session>, RequestError> {
        let Some(token) = token else {
            return Ok(None);
        };
        let found = self.hooks.authenticate(&token, request, lifetime).await;
        found.map_err(|reason| {
            error!(%reason, "a session could not be looked up");
            RequestError::Unavailable
        })
    }

    /// Counts a request that is refused before it is understood.
    pub(crate) fn refused(&self, error: RequestError) -> RequestError {
        self.metrics.refused(error.code());
        error
    }

    /// A permit for one more socket or event stream.
    pub(crate) fn stream_permit(&self, session: Option<&H::Session>) -> Option<StreamPermit> {
        let limit = match session {
            Some(_) => self.options.streams_per_user,
            None => self.options.anonymous_streams,
        };
        let holder = session.map(|session| self.hooks.holder(session));
        self.streams.acquire(holder, limit)
    }

    /// Checks the document and puts together what resolvers are given.
    pub(crate) fn prepare(
        &self,
        parameters: Parameters,
        sender: &Sender<'_, H::Session>,
    ) -> Result<PreparedOperation, DocumentError> {
        let Parameters {
            document,
            operation_name,
            mut variables,
        } = parameters;
        let found = self.documents.find(&document, operation_name.as_deref())?;
        let series = self.metrics.series(found.kind, found.root_field());
        found.coerce(&mut variables)?;
        let call = Invocation {
            session: sender.session,
            request: sender.request,
            kind: found.kind,
            page: sender.page,
        };
        Ok(PreparedOperation {
            request: self.hooks.equip(request(variables), &call),
            info: sender.request.clone(),
            series,
            prepared: found,
        })
    }

    /// Runs a query or a mutation, for as long as it may take.
    pub(crate) fn execute(
        &self,
        operation: PreparedOperation,
    ) -> impl Future<Output = Result<ExecutionResult, RequestError>> {
        let limit = self.time_limit(&operation);
        self.execute_within(operation, limit)
    }

    /// The time that a query or a mutation may run.
    pub(crate) fn time_limit(&self, operation: &PreparedOperation) -> Duration {
        let mut limit = match operation.kind() {
            OperationType::Mutation => self.options.mutation_timeout,
            _ => self.options.query_timeout,
        };
        if operation.prepared.document.findings.is_slow {
            limit += self.options.slow_timeout;
        }
        limit
    }

    /// Runs a query or a mutation for so long at most.
    pub(crate) async fn execute_within(
        &self,
        operation: PreparedOperation,
        limit: Duration,
    ) -> Result<ExecutionResult, RequestError> {
        let document = Arc::clone(&operation.prepared.document);
        let mut running = operation.series.begin();
        let span = operation.series.span();
        let executed = self.run(operation, span, limit).await;
        match &executed {
            Ok(result) => {
                if !result.is_request_error() {
                    document.found_valid();
                }
                running.answered(result.error_code());
            }
            Err(error) => running.answered(Some(error.code())),
        }
        executed
    }

    async fn run(
        &self,
        operation: PreparedOperation,
        span: Span,
        limit: Duration,
    ) -> Result<ExecutionResult, RequestError> {
        let request_id = operation.info.id.clone();
        let introspects = operation.prepared.document.findings.introspects;
        let (request, prepared) = operation.into_request();
        let mut execution = self.executor.execute(request, &prepared);
        if introspects {
            execution = self.introspection.run(execution).boxed();
        }
        let execution = AssertUnwindSafe(execution).catch_unwind().instrument(span);
        match tokio::time::timeout(limit, execution).await {
            Ok(Ok(response)) => Ok(ExecutionResult::from(response)),
            Ok(Err(_)) => Err(panicked(&request_id)),
            Err(_) => Err(RequestError::ExecutionTimeout),
        }
    }

    /// Runs any operation as a stream of results, on the connection that `watch` is of: one result for
    /// a query or a mutation.
    pub(crate) fn stream(
        self: &Arc<Self>,
        operation: PreparedOperation,
        watch: &StreamWatch,
    ) -> BoxStream<'static, ExecutionResult> {
        if operation.kind() != OperationType::Subscription {
            let service = Arc::clone(self);
            let execution = async move {
                let executed = service.execute(operation).await;
                executed.unwrap_or_else(|error| ExecutionResult::from(&error))
            };
            return stream::once(execution).boxed();
        }
        let series = Arc::clone(&operation.series);
        let request_id = operation.info.id.clone();
        let results = AssertUnwindSafe(self.subscribe(operation))
            .catch_unwind()
            .map(move |result| match result {
                Ok(result) => result,
                Err(_) => ExecutionResult::from(&panicked(&request_id)),
            });
        let counted = Counted {
            results,
            running: series.begin(),
            open: self.metrics.stream(watch),
        };
        counted.boxed()
    }

    fn subscribe(&self, operation: PreparedOperation) -> BoxStream<'static, ExecutionResult> {
        let info = operation.info.clone();
        let (request, prepared) = operation.into_request();
        if let Some(kept) = prepared.kept() {
            return self.hooks.events(kept, prepared.parsed(request), &info);
        }
        let responses = self.executor.execute_stream(request, &prepared);
        responses.map(ExecutionResult::from).boxed()
    }
}

fn request(variables: Variables) -> Request {
    let mut request = Request::new(String::new());
    request.variables = variables;
    request
}

/// A subscription's results, with what is counted of them.
struct Counted<S> {
    results: S,
    running: Running,
    open: OpenStream,
}

impl<S: Stream<Item = ExecutionResult> + Unpin> Stream for Counted<S> {
    type Item = ExecutionResult;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ExecutionResult>> {
        let this = self.get_mut();
        let next = this.results.poll_next_unpin(cx);
        match &next {
            Poll::Ready(Some(result)) => {
                this.running.answered(result.error_code());
                if result.is_request_error() {
                    this.open.ends(StreamEnd::Refused);
                }
            }
            Poll::Ready(None) => this.open.ends(StreamEnd::Complete),
            Poll::Pending => {}
        }
        next
    }
}

fn panicked(request_id: &RequestId) -> RequestError {
    error!(%request_id, "a resolver panicked");
    RequestError::Internal(request_id.to_string())
}
