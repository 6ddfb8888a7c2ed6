//! What all transports share: preparing an operation and running it.

use std::{
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use async_graphql::{Executor, Request, Response, Variables, parser::types::OperationType};
use futures_util::{
    FutureExt, Stream, StreamExt,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, Span, error};
use uuid::Uuid;

use super::{
    answer::Answer,
    body::Bodies,
    caller::Authenticator,
    departures::Departures,
    introspection::Introspections,
    parameters::Parameters,
    refusal::Refusal,
    seats::{Seat, Seats},
    settings::HttpSettings,
};
use crate::{
    accounts::{AccountError, Caller, Profile},
    audit,
    graphql::{
        PeerAddress, RequestContext, RequestId,
        documents::{Document, Documents},
        limits::DocumentError,
        session_cookie::SessionCookie,
    },
    metrics::{HttpMetrics, OpenStream, RequestSeries, Running, StreamEnd, StreamWatch},
};

/// What the handlers need.
pub(crate) struct Gateway<E> {
    pub(crate) executor: E,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) documents: Documents,
    pub(crate) introspections: Introspections,
    pub(crate) settings: HttpSettings,
    pub(crate) bodies: Bodies,
    /// The sockets and event streams of each user, and of nobody.
    pub(crate) seats: Seats<Option<Uuid>>,
    pub(crate) metrics: HttpMetrics,
    /// Cancelled when the server stops.
    pub(crate) shutdown: CancellationToken,
    /// When each socket and event stream leaves then.
    pub(crate) departures: Departures,
    /// Everything that the server waits for when it stops.
    pub(crate) tasks: TaskTracker,
}

/// Where a request comes from.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) request_id: RequestId,
    pub(crate) peer: PeerAddress,
    /// Whether a trusted proxy says that the client came over https.
    pub(crate) behind_tls: bool,
}

impl From<&Origin> for audit::Origin {
    fn from(origin: &Origin) -> Self {
        Self {
            client_address: Some(origin.peer.0),
            request_id: Some(origin.request_id.0.clone()),
        }
    }
}

/// An operation that is ready to run.
pub(crate) struct Operation {
    variables: Variables,
    context: RequestContext,
    series: Arc<RequestSeries>,
    pub(crate) kind: OperationType,
    pub(crate) name: Option<String>,
    document: Arc<Document>,
}

impl Operation {
    /// Tells the resolvers how the request stands to the session's cookie. Only an answer over plain
    /// HTTP can set one.
    pub(crate) fn with_cookie(mut self, cookie: impl FnOnce() -> SessionCookie) -> Self {
        // Only mutations begin and end sessions.
        if self.kind == OperationType::Mutation {
            self.context.cookie = Some(cookie());
        }
        self
    }

    /// Spares a query that runs at once from reading the user again.
    pub(crate) fn with_profile(mut self, profile: Option<Arc<Profile>>) -> Self {
        if self.kind == OperationType::Query {
            self.context.profile = profile;
        }
        self
    }

    /// Whether it checks a secret, of which there is one for each request.
    pub(crate) fn checks_secret(&self) -> bool {
        self.kind == OperationType::Mutation && self.document.checks_secret
    }

    /// What the executor is given.
    fn into_request(self) -> Request {
        let mut request = Request::new(String::new());
        request.variables = self.variables;
        request.operation_name = self.name;
        request.set_parsed_query(self.document.executable.clone());
        request.data(self.context)
    }
}

impl<E: Executor> Gateway<E> {
    /// Who sent the token: nobody known when it is absent or not valid.
    pub(crate) async fn caller(
        &self,
        token: Option<SecretString>,
        origin: &Origin,
    ) -> Result<Option<Caller>, Refusal> {
        let Some(token) = token else {
            return Ok(None);
        };
        let token = token.expose_secret();
        known(self.authenticator.authenticate(token, origin.into()).await)
    }

    /// The same, with the user as they are now.
    pub(crate) async fn visitor(
        &self,
        token: Option<SecretString>,
        origin: &Origin,
    ) -> Result<(Option<Caller>, Option<Arc<Profile>>), Refusal> {
        let Some(token) = token else {
            return Ok((None, None));
        };
        let token = token.expose_secret();
        let visit = known(self.authenticator.visit(token, origin.into()).await)?;
        Ok(visit.map_or((None, None), |(caller, profile)| (Some(caller), profile)))
    }

    /// Counts a request that is refused before it is understood.
    pub(crate) fn refused(&self, refusal: Refusal) -> Refusal {
        self.metrics.refused(refusal.code());
        refusal
    }

    /// A seat for one more socket or event stream.
    pub(crate) fn seat(&self, caller: Option<Caller>) -> Option<Seat<Option<Uuid>>> {
        let limit = match caller {
            Some(_) => self.settings.streams_per_user,
            None => self.settings.anonymous_streams,
        };
        self.seats.take(caller.map(|caller| caller.user_id), limit)
    }

    /// Checks the document and puts together what resolvers are given.
    pub(crate) fn prepare(
        &self,
        parameters: Parameters,
        caller: Option<Caller>,
        origin: &Origin,
    ) -> Result<Operation, DocumentError> {
        let Parameters {
            document,
            operation_name,
            mut variables,
        } = parameters;
        let checked = self.documents.check(&document, operation_name.as_deref())?;
        let series = self.metrics.series(checked.operation, checked.root_field());
        checked.coerce(&mut variables)?;
        let context = RequestContext::new(caller, origin.request_id.clone(), origin.peer)
            .for_document(&checked.document);
        Ok(Operation {
            variables,
            context,
            series,
            kind: checked.operation,
            name: checked.name,
            document: checked.document,
        })
    }

    /// Runs a query or a mutation, for as long as it may take.
    pub(crate) fn execute(
        &self,
        operation: Operation,
    ) -> impl Future<Output = Result<Answer, Refusal>> {
        let limit = self.time_limit(&operation);
        self.execute_within(operation, limit)
    }

    /// For how long a query or a mutation may run.
    pub(crate) fn time_limit(&self, operation: &Operation) -> Duration {
        let mut limit = match operation.kind {
            OperationType::Mutation => self.settings.mutation_timeout,
            _ => self.settings.query_timeout,
        };
        if operation.document.reads_claims {
            limit += self.settings.claims_timeout;
        }
        limit
    }

    /// Runs a query or a mutation for so long at most.
    pub(crate) async fn execute_within(
        &self,
        operation: Operation,
        limit: Duration,
    ) -> Result<Answer, Refusal> {
        let document = Arc::clone(&operation.document);
        let mut running = operation.series.begin();
        let span = operation.series.span();
        let introspection = document.introspection.as_ref();
        let executed = match span.in_scope(|| self.introspections.kept(introspection)) {
            Some(response) => Ok(Answer::from(response)),
            None => self.run(operation, span, limit).await,
        };
        match &executed {
            Ok(answer) => {
                if !answer.is_request_error() {
                    document.found_valid();
                }
                running.answered(answer.error_code());
            }
            Err(refusal) => running.answered(Some(refusal.code())),
        }
        executed
    }

    async fn run(
        &self,
        mut operation: Operation,
        span: Span,
        limit: Duration,
    ) -> Result<Answer, Refusal> {
        operation.context = operation.context.remembering_statuses();
        let document = Arc::clone(&operation.document);
        let request_id = operation.context.request_id.clone();
        let executing = self.executor.execute(operation.into_request());
        // Boxed, because it is large and would be moved several times.
        let execution: BoxFuture<'_, Response> = match &document.introspection {
            None => Box::pin(executing),
            Some(introspection) => Box::pin(self.introspections.answer(introspection, executing)),
        };
        let execution = AssertUnwindSafe(execution).catch_unwind().instrument(span);
        match tokio::time::timeout(limit, execution).await {
            Ok(Ok(response)) => Ok(Answer::from(response)),
            Ok(Err(_)) => Err(panicked(&request_id)),
            Err(_) => Err(Refusal::ExecutionTimeout),
        }
    }

    /// Runs any operation as a stream of answers, on the connection that `watch` is of: one answer for
    /// a query or a mutation.
    pub(crate) fn stream(
        self: &Arc<Self>,
        operation: Operation,
        watch: &StreamWatch,
    ) -> BoxStream<'static, Answer> {
        if operation.kind != OperationType::Subscription {
            let gateway = Arc::clone(self);
            let execution = async move {
                let executed = gateway.execute(operation).await;
                executed.unwrap_or_else(|refusal| Answer::from(&refusal))
            };
            return stream::once(execution).boxed();
        }
        let series = Arc::clone(&operation.series);
        let request_id = operation.context.request_id.clone();
        let request = operation.into_request();
        let responses = self.executor.execute_stream(request, None);
        let answers =
            AssertUnwindSafe(responses)
                .catch_unwind()
                .map(move |response: Result<Response, _>| match response {
                    Ok(response) => response.into(),
                    Err(_) => Answer::from(&panicked(&request_id)),
                });
        let counted = Counted {
            answers,
            running: series.begin(),
            open: self.metrics.stream(watch),
        };
        counted.boxed()
    }
}

/// None for a token that is nobody's.
fn known<T>(found: Result<T, AccountError>) -> Result<Option<T>, Refusal> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(AccountError::InvalidToken) => Ok(None),
        Err(reason) => {
            error!(%reason, "a session could not be looked up");
            Err(Refusal::Unavailable)
        }
    }
}

/// A subscription's answers, with what is counted of them.
struct Counted<S> {
    answers: S,
    running: Running,
    open: OpenStream,
}

impl<S: Stream<Item = Answer> + Unpin> Stream for Counted<S> {
    type Item = Answer;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer>> {
        let this = self.get_mut();
        let next = this.answers.poll_next_unpin(cx);
        match &next {
            Poll::Ready(Some(answer)) => {
                this.running.answered(answer.error_code());
                if answer.is_request_error() {
                    this.open.ends(StreamEnd::Refused);
                }
            }
            Poll::Ready(None) => this.open.ends(StreamEnd::Complete),
            Poll::Pending => {}
        }
        next
    }
}

fn panicked(request_id: &RequestId) -> Refusal {
    error!(%request_id, "a resolver panicked");
    Refusal::Internal(request_id.to_string())
}
