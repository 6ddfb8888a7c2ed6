//! What all transports share: preparing an operation and running it.

use std::{net::IpAddr, panic::AssertUnwindSafe, sync::Arc};

use async_graphql::{Executor, Request, Response, parser::types::OperationType};
use futures_util::{
    FutureExt, StreamExt,
    stream::{self, BoxStream},
};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::error;
use uuid::Uuid;

use super::{
    answer::Answer,
    body::Bodies,
    caller::Authenticator,
    parameters::Parameters,
    refusal::Refusal,
    seats::{Seat, Seats},
    settings::HttpSettings,
};
use crate::{
    accounts::{AccountError, Caller},
    graphql::{
        RequestId, documents::Documents, limits::DocumentError, session_cookie::SessionCookie,
    },
};

/// The address at the other end of the connection; resolvers find it in their context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(pub IpAddr);

/// What the handlers need.
pub(crate) struct Gateway<E> {
    pub(crate) executor: E,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) documents: Documents,
    pub(crate) settings: HttpSettings,
    pub(crate) bodies: Bodies,
    /// The sockets and event streams of each user, and of nobody.
    pub(crate) seats: Seats<Option<Uuid>>,
    /// Cancelled when the server stops.
    pub(crate) shutdown: CancellationToken,
    /// Everything that the server waits for when it stops.
    pub(crate) tasks: TaskTracker,
}

/// Where a request comes from.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) request_id: RequestId,
    pub(crate) peer: PeerAddress,
}

/// An operation that is ready to run.
pub(crate) struct Operation {
    request: Request,
    request_id: RequestId,
    pub(crate) kind: OperationType,
    pub(crate) name: Option<String>,
    reads_claims: bool,
}

impl Operation {
    /// Tells the resolvers how the request stands to the session's cookie. Only an answer over plain
    /// HTTP can set one.
    pub(crate) fn with_cookie(mut self, cookie: SessionCookie) -> Self {
        self.request = self.request.data(cookie);
        self
    }
}

impl<E: Executor> Gateway<E> {
    /// Who sent the token: nobody known when it is absent or not valid.
    pub(crate) async fn caller(
        &self,
        token: Option<SecretString>,
    ) -> Result<Option<Caller>, Refusal> {
        let Some(token) = token else {
            return Ok(None);
        };
        match self.authenticator.authenticate(token.expose_secret()).await {
            Ok(caller) => Ok(Some(caller)),
            Err(AccountError::InvalidToken) => Ok(None),
            Err(reason) => {
                error!(%reason, "a session could not be looked up");
                Err(Refusal::Unavailable)
            }
        }
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
            query,
            operation_name,
            mut variables,
        } = parameters;
        let checked = self.documents.check(&query, operation_name.as_deref())?;
        // Nothing would look at the others, and they would be held for as long as the operation runs.
        variables.retain(|name, _| checked.declares(name));
        let mut request = Request::new(String::new())
            .variables(variables)
            .data(caller)
            .data(origin.request_id.clone())
            .data(origin.peer);
        request.operation_name.clone_from(&checked.name);
        let reads_claims = checked.document.reads_claims;
        request.set_parsed_query(Arc::unwrap_or_clone(checked.document).executable);
        Ok(Operation {
            request,
            request_id: origin.request_id.clone(),
            kind: checked.operation,
            name: checked.name,
            reads_claims,
        })
    }

    /// Runs a query or a mutation, for as long as it may take.
    pub(crate) async fn execute(&self, operation: Operation) -> Result<Answer, Refusal> {
        let mut limit = match operation.kind {
            OperationType::Mutation => self.settings.mutation_timeout,
            _ => self.settings.query_timeout,
        };
        if operation.reads_claims {
            limit += self.settings.claims_timeout;
        }
        let execution = AssertUnwindSafe(self.executor.execute(operation.request)).catch_unwind();
        match tokio::time::timeout(limit, execution).await {
            Ok(Ok(response)) => Ok(response.into()),
            Ok(Err(_)) => Err(panicked(&operation.request_id)),
            Err(_) => Err(Refusal::ExecutionTimeout),
        }
    }

    /// Runs any operation as a stream of answers: one for a query or a mutation.
    pub(crate) fn stream(self: &Arc<Self>, operation: Operation) -> BoxStream<'static, Answer> {
        if operation.kind != OperationType::Subscription {
            let gateway = Arc::clone(self);
            let execution = async move {
                let executed = gateway.execute(operation).await;
                executed.unwrap_or_else(|refusal| Answer::from(&refusal))
            };
            return stream::once(execution).boxed();
        }
        let Operation {
            request,
            request_id,
            ..
        } = operation;
        let responses = self.executor.execute_stream(request, None);
        AssertUnwindSafe(responses)
            .catch_unwind()
            .map(move |response: Result<Response, _>| match response {
                Ok(response) => response.into(),
                Err(_) => Answer::from(&panicked(&request_id)),
            })
            .boxed()
    }
}

fn panicked(request_id: &RequestId) -> Refusal {
    error!(%request_id, "a resolver panicked");
    Refusal::Internal(request_id.to_string())
}
