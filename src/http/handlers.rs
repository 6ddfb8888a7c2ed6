//! `/graphql`: queries and mutations over HTTP, as the GraphQL-over-HTTP specification has it, and the
//! doors to the event stream and the WebSocket.

use std::sync::Arc;

use async_graphql::{Executor, parser::types::OperationType};
use axum::{
    Extension,
    body::HttpBody,
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use tracing::Span;

use super::{
    answer::Answer,
    batch, cookie,
    gateway::{Gateway, Operation, Origin},
    media::{Accepted, Media, is_json_body, is_plain_body},
    multipart,
    origin::Page,
    parameters::Parameters,
    refusal::Refusal,
    settings::HttpSettings,
    sse,
    websocket::{self, Handshake},
    words::shorten,
    written,
};
use crate::accounts::Caller;

/// POST: any operation.
pub(crate) async fn post<E: Executor>(
    State(gateway): State<Arc<Gateway<E>>>,
    Extension(origin): Extension<Origin>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let Some(accepted) = Accepted::from_headers(&parts.headers) else {
        return refuse(&gateway.refused(Refusal::Accept), Media::Json);
    };
    let body = if !is_json_body(&parts.headers) {
        Err(Refusal::ContentType)
    } else if !is_plain_body(&parts.headers) {
        Err(Refusal::ContentCoding)
    } else {
        gateway.bodies.read(body, &gateway.settings).await
    };
    match body {
        Ok(body) => {
            let call = Call {
                method: Method::POST,
                accepted,
                headers: parts.headers,
                origin,
            };
            if batch::is_batch(&body.bytes, &gateway.settings) {
                return Box::pin(batch::answer(&gateway, &call, &body)).await;
            }
            let limit = gateway.settings.value_limit;
            call.answer(&gateway, move || Parameters::from_body(&body.bytes, limit))
                .await
        }
        Err(refusal) => refuse(&gateway.refused(refusal), accepted.json()),
    }
}

/// GET: a query, a subscription as an event stream, or the handshake of a WebSocket.
pub(crate) async fn get<E: Executor>(
    State(gateway): State<Arc<Gateway<E>>>,
    Extension(origin): Extension<Origin>,
    request: Request,
) -> Response {
    let (mut parts, body) = request.into_parts();
    if parts.headers.contains_key(header::UPGRADE) && !body.is_end_stream() {
        return refuse(&Refusal::HandshakeBody, Media::Json);
    }
    if let Some(handshake) = Handshake::of(&mut parts) {
        return websocket::open(gateway, handshake, &parts.headers, origin);
    }
    if parts.headers.contains_key(header::UPGRADE) {
        return refuse(&Refusal::Handshake, Media::Json);
    }
    let Some(accepted) = Accepted::from_headers(&parts.headers) else {
        return refuse(&gateway.refused(Refusal::Accept), Media::Json);
    };
    let call = Call {
        method: Method::GET,
        accepted,
        headers: parts.headers,
        origin,
    };
    let query = parts.uri.query().unwrap_or_default();
    let limit = gateway.settings.value_limit;
    // Boxed, because it is large, and every handshake would have to find room for it.
    Box::pin(call.answer(&gateway, || Parameters::from_url(query, limit))).await
}

/// Every other method.
pub(crate) async fn other() -> Response {
    refuse(&Refusal::Method, Media::Json)
}

/// Every other path.
pub(crate) async fn unknown_path() -> Response {
    refuse(&Refusal::NotFound, Media::Json)
}

/// A request that has been read.
pub(crate) struct Call {
    method: Method,
    pub(crate) accepted: Accepted,
    pub(crate) headers: HeaderMap,
    pub(crate) origin: Origin,
}

impl Call {
    async fn answer<E: Executor>(
        self,
        gateway: &Arc<Gateway<E>>,
        parameters: impl FnOnce() -> Result<Parameters, Refusal>,
    ) -> Response {
        self.run(gateway, parameters)
            .await
            .unwrap_or_else(|refusal| refuse(&refusal, self.accepted.json()))
    }

    async fn run<E: Executor>(
        &self,
        gateway: &Arc<Gateway<E>>,
        parameters: impl FnOnce() -> Result<Parameters, Refusal>,
    ) -> Result<Response, Refusal> {
        let understood = self.understand(gateway, parameters).await;
        let (operation, caller, media) = understood.map_err(|refusal| gateway.refused(refusal))?;
        match media {
            Media::EventStream => sse::stream(gateway, operation, caller),
            Media::Multipart => multipart::stream(gateway, operation, caller),
            media => Ok(respond(&gateway.execute(operation).await?, media)),
        }
    }

    /// What is to run, for whom, and what it is answered as.
    pub(crate) async fn understand<E: Executor>(
        &self,
        gateway: &Arc<Gateway<E>>,
        parameters: impl FnOnce() -> Result<Parameters, Refusal>,
    ) -> Result<(Operation, Option<Caller>, Media), Refusal> {
        let page = self.page(&gateway.settings);
        let token = cookie::session_token(page)?;
        let (caller, profile) = gateway.visitor(token, &self.origin).await?;
        // Parsed values take many times the room of their text: only now, and not for long.
        let operation = gateway
            .prepare(parameters()?, caller, &self.origin)?
            .with_profile(profile)
            .with_cookie(|| cookie::session_cookie(page));
        if let Some(name) = &operation.name {
            Span::current().record("operation", shorten(name));
        }
        let media = self.transport(&operation)?;
        Ok((operation, caller, media))
    }

    /// The page that it comes from.
    pub(crate) fn page<'a>(&'a self, settings: &'a HttpSettings) -> Page<'a> {
        let behind_tls = self.origin.behind_tls;
        Page::new(&self.headers, behind_tls, &settings.allowed_origins)
    }

    /// What the operation is answered as.
    fn transport(&self, operation: &Operation) -> Result<Media, Refusal> {
        let by_get = self.method == Method::GET;
        match operation.kind {
            OperationType::Mutation if by_get => Err(Refusal::QueriesOnly),
            OperationType::Query | OperationType::Mutation => Ok(self.accepted.best()),
            OperationType::Subscription => match self.accepted.stream() {
                Some(Media::EventStream) => Ok(Media::EventStream),
                _ if by_get => Err(Refusal::QueriesOnly),
                stream => stream.ok_or(Refusal::StreamNeeded),
            },
        }
    }
}

fn respond(answer: &Answer, media: Media) -> Response {
    let status = if answer.is_request_error() && media == Media::GraphqlResponse {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    json(status, answer, media)
}

/// The answer to a request that never reached the schema.
pub(crate) fn refuse(refusal: &Refusal, media: Media) -> Response {
    // The request is well-formed, only its query is not: application/json answers that with a 200. And
    // the clients that are to send a text along look at no answer with another status.
    let status = match refusal {
        Refusal::Document(error) if media == Media::Json || error.asks_for_text() => StatusCode::OK,
        _ => refusal.status(),
    };
    let mut response = json(status, &refusal.into(), media);
    let headers = response.headers_mut();
    if let Some(allow) = refusal.allow() {
        headers.insert(header::ALLOW, allow);
    }
    if matches!(refusal, Refusal::ContentCoding) {
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
    }
    if matches!(
        refusal,
        Refusal::BodyLong(_)
            | Refusal::BodySlow
            | Refusal::BodyBroken
            | Refusal::BodiesBusy
            | Refusal::TransferCoding
            | Refusal::HandshakeBody
    ) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn json(status: StatusCode, answer: &Answer, media: Media) -> Response {
    match answer.to_json() {
        Ok(body) => {
            let mut response = Response::new(written::body(body));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, media.header());
            for (name, value) in &answer.headers {
                headers.append(name, value.clone());
            }
            response
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
