//! GraphQL requests over HTTP: their sender, their operation, and the media type of the response.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use axum::http::{HeaderMap, Method};
use tracing::Span;

use super::{
    excerpt::truncate,
    media::{Accepted, Media},
};
use crate::{
    hooks::{Hooks, Lifetime},
    options::ServerOptions,
    request::{RequestInfo, error::RequestError, page::Page, parameters::Parameters},
    service::{GraphqlService, PreparedOperation, Sender},
};

/// Request with its prepared operation.
pub(crate) struct PreparedRequest<S> {
    pub(crate) operation: PreparedOperation,
    /// Session of the sender, if it has one.
    pub(crate) session: Option<S>,
    /// Media type of the response.
    pub(crate) media: Media,
}

/// Request of `/graphql` without its parameters.
pub(crate) struct GraphqlRequest {
    pub(crate) method: Method,
    pub(crate) accepted: Accepted,
    pub(crate) headers: HeaderMap,
    pub(crate) info: RequestInfo,
}

impl GraphqlRequest {
    /// Authenticates the sender, prepares the operation and selects the media type.
    pub(crate) async fn prepare<H: Hooks>(
        &self,
        service: &Arc<GraphqlService<H>>,
        parameters: impl FnOnce() -> Result<Parameters, RequestError>,
    ) -> Result<PreparedRequest<H::Session>, RequestError> {
        let page = self.page(&service.options);
        let token = service.hooks.credentials(page)?;
        let session = service
            .authenticate(token, &self.info, Lifetime::Request)
            .await?;
        let sender = Sender {
            session: session.as_ref(),
            request: &self.info,
            page: Some(page),
        };
        // Parsed values take many times the memory of their text, so they are parsed late.
        let operation = service.prepare(parameters()?, &sender)?;
        if let Some(name) = operation.name() {
            Span::current().record("operation", truncate(name));
        }
        Ok(PreparedRequest {
            media: self.media(&operation)?,
            operation,
            session,
        })
    }

    /// Returns the page that sent the request.
    pub(crate) fn page<'a>(&'a self, options: &'a ServerOptions) -> Page<'a> {
        Page::new(
            &self.headers,
            self.info.behind_tls,
            &options.allowed_origins,
        )
    }

    /// Selects the media type for the operation.
    fn media(&self, operation: &PreparedOperation) -> Result<Media, RequestError> {
        let by_get = self.method == Method::GET;
        match operation.kind() {
            OperationType::Mutation if by_get => Err(RequestError::QueriesOnly),
            OperationType::Query | OperationType::Mutation => Ok(self.accepted.best()),
            OperationType::Subscription => match self.accepted.stream() {
                Some(Media::EventStream) => Ok(Media::EventStream),
                _ if by_get => Err(RequestError::QueriesOnly),
                stream => stream.ok_or(RequestError::StreamNeeded),
            },
        }
    }
}
