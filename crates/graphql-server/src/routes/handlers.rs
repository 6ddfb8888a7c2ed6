//! Handlers of `/graphql`: queries and mutations by the GraphQL-over-HTTP specification.
//!
//! They hand event streams and WebSockets over to their modules.

use std::sync::Arc;

use axum::{
    Extension,
    body::HttpBody,
    extract::{Request, State},
    http::{Method, header},
    response::Response,
};

use super::batch;
use crate::{
    hooks::Hooks,
    http::{
        graphql_request::GraphqlRequest,
        media::{Accepted, Media, is_json_body, is_plain_body},
        response::{error_response, respond},
    },
    request::{RequestInfo, error::RequestError, parameters::Parameters},
    service::GraphqlService,
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
        return error_response(&service.count_refusal(RequestError::Accept), Media::Json);
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
            let graphql_request = GraphqlRequest {
                method: Method::POST,
                accepted,
                headers: parts.headers,
                info,
            };
            if batch::is_batch(&body.bytes, &service.options) {
                return Box::pin(batch::respond(&service, &graphql_request, &body)).await;
            }
            let options = &service.options;
            respond_to(graphql_request, &service, move || {
                Parameters::from_body(&body.bytes, options)
            })
            .await
        }
        Err(error) => error_response(&service.count_refusal(error), accepted.json()),
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
    if let Some(handshake) = Handshake::from_parts(&mut parts) {
        return websocket::open(service, handshake, &parts.headers, info);
    }
    if parts.headers.contains_key(header::UPGRADE) {
        return error_response(&RequestError::Handshake, Media::Json);
    }
    let Some(accepted) = Accepted::from_headers(&parts.headers) else {
        return error_response(&service.count_refusal(RequestError::Accept), Media::Json);
    };
    let graphql_request = GraphqlRequest {
        method: Method::GET,
        accepted,
        headers: parts.headers,
        info,
    };
    let query = parts.uri.query().unwrap_or_default();
    let limit = service.options.value_limit;
    // Boxed, because it is large and every handshake would need room for it.
    let parameters = || Parameters::from_url(query, limit);
    Box::pin(respond_to(graphql_request, &service, parameters)).await
}

/// Handles every other method.
pub(crate) async fn method_not_allowed() -> Response {
    error_response(&RequestError::Method, Media::Json)
}

/// Handles every other path.
pub(crate) async fn not_found() -> Response {
    error_response(&RequestError::NotFound, Media::Json)
}

/// Runs the operation of a request and responds with its result.
async fn respond_to<H: Hooks>(
    request: GraphqlRequest,
    service: &Arc<GraphqlService<H>>,
    parameters: impl FnOnce() -> Result<Parameters, RequestError>,
) -> Response {
    run(&request, service, parameters)
        .await
        .unwrap_or_else(|error| error_response(&error, request.accepted.json()))
}

async fn run<H: Hooks>(
    request: &GraphqlRequest,
    service: &Arc<GraphqlService<H>>,
    parameters: impl FnOnce() -> Result<Parameters, RequestError>,
) -> Result<Response, RequestError> {
    let prepared = request.prepare(service, parameters).await;
    let prepared = prepared.map_err(|error| service.count_refusal(error))?;
    match prepared.media {
        Media::EventStream => sse::respond(service, prepared),
        Media::Multipart => multipart::respond(service, prepared),
        media => Ok(respond(&service.execute(prepared.operation).await?, media)),
    }
}
