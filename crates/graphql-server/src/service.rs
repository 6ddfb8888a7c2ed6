//! GraphQL service of all transports: it prepares operations and runs them.

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

use crate::{
    document::{DocumentError, Documents, PreparedDocument},
    execute::{ExecutionResult, SchemaExecutor, introspection::IntrospectionLock},
    hooks::{Hooks, Invocation, Lifetime},
    metrics::{OpenStream, RequestSeries, RunningRequest, ServerMetrics, StreamEnd, StreamWatch},
    net::{
        drain::DrainSchedule,
        limiter::{ConcurrencyLimiter, Permit},
    },
    options::ServerOptions,
    request::{
        RequestId, RequestInfo, body::BodyReader, error::RequestError, page::Page,
        parameters::Parameters,
    },
};

/// Permit for a socket or an event stream of one user, or of anonymous clients.
pub(crate) type StreamPermit = Permit<Option<u128>>;

/// Schema with its hooks, documents, limits and metrics.
pub(crate) struct GraphqlService<H: Hooks> {
    pub(crate) executor: SchemaExecutor,
    pub(crate) hooks: Arc<H>,
    pub(crate) documents: Documents,
    pub(crate) introspection: IntrospectionLock,
    pub(crate) options: ServerOptions,
    pub(crate) bodies: BodyReader,
    /// Open sockets and event streams of each user, and of anonymous clients.
    pub(crate) streams: ConcurrencyLimiter<Option<u128>>,
    pub(crate) metrics: ServerMetrics,
    /// Cancelled when the server stops.
    pub(crate) shutdown: CancellationToken,
    /// Schedule by which sockets and event streams end when the server stops.
    pub(crate) drain: DrainSchedule,
    /// Tasks that the server waits for when it stops.
    pub(crate) tasks: TaskTracker,
}

/// Sender of an operation, with the request and page that it came from.
pub(crate) struct Sender<'a, S> {
    pub(crate) session: Option<&'a S>,
    pub(crate) request: &'a RequestInfo,
    /// Page of the request; none on a socket.
    pub(crate) page: Option<Page<'a>>,
}

/// Operation that is ready to run.
pub(crate) struct PreparedOperation {
    request: Request,
    info: RequestInfo,
    series: Arc<RequestSeries>,
    prepared: PreparedDocument,
}

impl PreparedOperation {
    /// Returns the kind of the operation.
    pub(crate) fn kind(&self) -> OperationType {
        self.prepared.kind
    }

    /// Returns the operation's name, if it has one.
    pub(crate) fn name(&self) -> Option<&str> {
        self.prepared.name.as_deref()
    }

    /// Tells whether the operation takes a secret, of which each request may take one.
    pub(crate) fn takes_secret(&self) -> bool {
        self.kind() == OperationType::Mutation && self.prepared.document.findings.secrets > 0
    }

    /// Returns the executor's request and its document.
    fn into_request(mut self) -> (Request, PreparedDocument) {
        self.request.operation_name.clone_from(&self.prepared.name);
        (self.request, self.prepared)
    }
}

impl<H: Hooks> GraphqlService<H> {
    /// Returns the session of a token; none when the token is absent or not valid.
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

    /// Counts a request that ends before its operation is known.
    pub(crate) fn count_refusal(&self, error: RequestError) -> RequestError {
        self.metrics.count_refusal(error.code());
        error
    }

    /// Acquires a permit for one more socket or event stream.
    pub(crate) fn stream_permit(&self, session: Option<&H::Session>) -> Option<StreamPermit> {
        let limit = match session {
            Some(_) => self.options.streams_per_user,
            None => self.options.anonymous_streams,
        };
        let holder = session.map(|session| self.hooks.stream_key(session));
        self.streams.acquire(holder, limit)
    }

    /// Finds and checks the document, and builds the request for the executor.
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
        let prepared = self.documents.find(&document, operation_name.as_deref())?;
        let series = self.metrics.series(prepared.kind, prepared.root_field());
        prepared.coerce(&mut variables)?;
        let invocation = Invocation {
            session: sender.session,
            request: sender.request,
            kind: prepared.kind,
            page: sender.page,
        };
        Ok(PreparedOperation {
            request: self
                .hooks
                .prepare_request(request_with(variables), &invocation),
            info: sender.request.clone(),
            series,
            prepared,
        })
    }

    /// Runs a query or a mutation within its time limit.
    pub(crate) fn execute(
        &self,
        operation: PreparedOperation,
    ) -> impl Future<Output = Result<ExecutionResult, RequestError>> {
        let limit = self.time_limit(&operation);
        self.execute_within(operation, limit)
    }

    /// Returns the time limit of a query or a mutation.
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

    /// Runs a query or a mutation within `limit`.
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
                    document.mark_valid();
                }
                running.record_result(result.error_code());
            }
            Err(error) => running.record_result(Some(error.code())),
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

    /// Runs an operation as a stream of results on the connection of `watch`.
    ///
    /// A query or a mutation has one result.
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
        let results = AssertUnwindSafe(self.run_subscription(operation))
            .catch_unwind()
            .map(move |result| match result {
                Ok(result) => result,
                Err(_) => ExecutionResult::from(&panicked(&request_id)),
            });
        let metered = MeteredStream {
            results,
            running: series.begin(),
            open: self.metrics.open_stream(watch),
        };
        metered.boxed()
    }

    fn run_subscription(
        &self,
        operation: PreparedOperation,
    ) -> BoxStream<'static, ExecutionResult> {
        let info = operation.info.clone();
        let (request, prepared) = operation.into_request();
        if let Some(extension) = prepared.extension() {
            return self
                .hooks
                .subscribe(extension, prepared.with_document(request), &info);
        }
        let responses = self.executor.execute_stream(request, &prepared);
        responses.map(ExecutionResult::from).boxed()
    }
}

fn request_with(variables: Variables) -> Request {
    let mut request = Request::new(String::new());
    request.variables = variables;
    request
}

/// Results of a subscription, counted in metrics.
struct MeteredStream<S> {
    results: S,
    running: RunningRequest,
    open: OpenStream,
}

impl<S: Stream<Item = ExecutionResult> + Unpin> Stream for MeteredStream<S> {
    type Item = ExecutionResult;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ExecutionResult>> {
        let this = self.get_mut();
        let next = this.results.poll_next_unpin(cx);
        match &next {
            Poll::Ready(Some(result)) => {
                this.running.record_result(result.error_code());
                if result.is_request_error() {
                    this.open.set_end(StreamEnd::Refused);
                }
            }
            Poll::Ready(None) => this.open.set_end(StreamEnd::Complete),
            Poll::Pending => {}
        }
        next
    }
}

fn panicked(request_id: &RequestId) -> RequestError {
    error!(%request_id, "a resolver panicked");
    RequestError::Internal(request_id.to_string())
}
