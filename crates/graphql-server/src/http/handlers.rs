//! Handlers of `/graphql`: queries and mutations by the GraphQL-over-HTTP specification.
//!
//! They hand event streams and WebSockets over to their modules.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use axum::{
    Extension,
    body::HttpBody,
    extract::{Request, State},
    http::{HeaderMap, Method, header},
    response::Response,
};
use tracing::Span;

use super::{
    batch,
    excerpt::shorten,
    media::{Accepted, Media, is_json_body, is_plain_body},
    page::Page,
    response::{error_response, respond},
};
use crate::{
    execute::service::{GraphqlService, PreparedOperation, Sender},
    hooks::{Hooks, Lifetime},
    options::ServerOptions,
    request::{RequestInfo, error::RequestError, parameters::Parameters},
    stream::{multipart, sse},
    websocket::{self, Handshake},
};

/// Handles POST: any operation.
pub(crate) async fn post<H: Hooks>(
    State(service): State<Arc<GraphqlService<H>>>,
    Extension(info): Extension<RequestInfo>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Some(accepted) = Accepted::from_headers(&parts.headers) else {
        return error_response(&service.refused(RequestError::Accept), Media::Json);
    };
    let body = if !is_json_body(&parts.headers) {
        Err(RequestError::ContentType)
    } else if !is_plain_body(&parts.headers) {
        Err(RequestError::ContentCoding)
    } else {
        service.bodies.read(body, &service.options).await
    };
    match body {
        Ok(body) => {
            let call = GraphqlRequest {
                method: Method::POST,
                accepted,
                headers: parts.headers,
                info,
            };
            if batch::is_batch(&body.bytes, &service.options) {
                return Box::pin(batch::answer(&service, &call, &body)).await;
            }
            let options = &service.options;
            call.answer(&service, move || {
                Parameters::from_body(&body.bytes, options)
            })
            .await
        }
        Err(error) => error_response(&service.refused(error), accepted.json()),
    }
}

/// Handles GET: a query, a subscription as an event stream, or the handshake of a WebSocket.
pub(crate) async fn get<H: Hooks>(
    State(service): State<Arc<GraphqlService<H>>>,
    Extension(info): Extension<RequestInfo>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    if parts.headers.contains_key(header::UPGRADE) && !body.is_end_stream() {
        return error_response(&RequestError::HandshakeBody, Media::Json);
    }
    if let Some(handshake) = Handshake::of(&mut parts) {
        return websocket::open(service, handshake, &parts.headers, info);
    }
    if parts.headers.contains_key(header::UPGRADE) {
        return error_response(&RequestError::Handshake, Media::Json);
    }
    let Some(accepted) = Accepted::from_headers(&parts.headers) else {
        return error_response(&service.refused(RequestError::Accept), Media::Json);
    };
    let call = GraphqlRequest {
        method: Method::GET,
        accepted,
        headers: parts.headers,
        info,
    };
    let query = parts.uri.query().unwrap_or_default();
    let limit = service.options.value_limit;
    // Boxed, because it is large and every handshake would need room for it.
    Box::pin(call.answer(&service, || Parameters::from_url(query, limit))).await
}

/// Handles every other method.
pub(crate) async fn other() -> Response {
    error_response(&RequestError::Method, Media::Json)
}

/// Handles every other path.
pub(crate) async fn unknown_path() -> Response {
    error_response(&RequestError::NotFound, Media::Json)
}

/// Request with its prepared operation.
pub(crate) struct Understood<S> {
    pub(crate) operation: PreparedOperation,
    /// Session of the sender, if it has one.
    pub(crate) session: Option<S>,
    /// Media type of the response.
    pub(crate) media: Media,
}

/// Request of `/graphql` without its parameters.
pub(crate) struct GraphqlRequest {
    method: Method,
    pub(crate) accepted: Accepted,
    pub(crate) headers: HeaderMap,
    pub(crate) info: RequestInfo,
}

impl GraphqlRequest {
    async fn answer<H: Hooks>(
        self,
        service: &Arc<GraphqlService<H>>,
        parameters: impl FnOnce() -> Result<Parameters, RequestError>,
    ) -> Response {
        self.run(service, parameters)
            .await
            .unwrap_or_else(|error| error_response(&error, self.accepted.json()))
    }

    async fn run<H: Hooks>(
        &self,
        service: &Arc<GraphqlService<H>>,
        parameters: impl FnOnce() -> Result<Parameters, RequestError>,
    ) -> Result<Response, RequestError> {
        let understood = self.understand(service, parameters).await;
        let understood = understood.map_err(|error| service.refused(error))?;
        match understood.media {
            Media::EventStream => sse::stream(service, understood),
            Media::Multipart => multipart::stream(service, understood),
            media => Ok(respond(
                &service.execute(understood.operation).await?,
                media,
            )),
        }
    }

    /// Authenticates the sender, prepares the operation and selects the media type.
    pub(crate) async fn understand<H: Hooks>(
        &self,
        service: &Arc<GraphqlService<H>>,
        parameters: impl FnOnce() -> Result<Parameters, RequestError>,
    ) -> Result<Understood<H::Session>, RequestError> {
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
            Span::current().record("operation", shorten(name));
        }
        Ok(Understood {
            media: self.transport(&operation)?,
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
    fn transport(&self, operation: &PreparedOperation) -> Result<Media, RequestError> {
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
