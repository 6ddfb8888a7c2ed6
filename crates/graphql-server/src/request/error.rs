//! Errors of requests that never reach the schema.
//!
//! | status | `extensions.code` | when |
//! | --- | --- | --- |
//! | 400 | `BAD_REQUEST` | malformed body, URL, host, framing or WebSocket handshake; too many values; a batch where batches are off |
//! | 400 | those of [`DocumentError`] | errors of the document |
//! | 401 | `UNAUTHENTICATED` | the session has ended, in the last part of a multipart stream only |
//! | 403 | `FORBIDDEN` | credentials from a page of another origin |
//! | 404 | `NOT_FOUND` | nothing is served at the path |
//! | 405 | `METHOD_NOT_ALLOWED` | a method other than GET and POST; more than a query by GET |
//! | 406 | `NOT_ACCEPTABLE` | `Accept` names nothing that can be served |
//! | 408 | `REQUEST_TIMEOUT` | the body does not arrive in time |
//! | 413 | `PAYLOAD_TOO_LARGE` | the body is too long |
//! | 415 | `UNSUPPORTED_MEDIA_TYPE` | the body is not declared as JSON, or is compressed |
//! | 421 | `MISDIRECTED_REQUEST` | a host that the server does not answer for |
//! | 429 | `TOO_MANY_STREAMS` | the user has too many sockets and event streams open |
//! | 429 | `TOO_MANY_OPERATIONS` | too many operations run on the socket; there only |
//! | 500 | `INTERNAL` | a defect of the server; the log has the request id |
//! | 503 | `SERVICE_UNAVAILABLE` | the session cannot be looked up; too many long bodies at once |
//! | 504 | `EXECUTION_TIMEOUT` | the operation ran out of time |

use async_graphql::{ErrorExtensionValues, ServerError};
use axum::http::{HeaderValue, StatusCode};

use super::page::ForeignPage;
use crate::document::DocumentError;

/// Error of a request that never reached the schema. Messages are fixed: none repeats the input.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RequestError {
    #[error("The body must be a JSON object, with each parameter once at most.")]
    Json,
    #[error(
        "Name one host in one Host header, such as example.com or 10.0.0.7:8080, and the same one in an absolute URL."
    )]
    Host,
    #[error("The {0} does not answer for this host.")]
    Misdirected(&'static str),
    #[error("Send the body as it is, or chunked and coded in no other way.")]
    TransferCoding,
    #[error("Batches are off, unless {0} is set: send one operation in each request.")]
    Batch(&'static str),
    #[error("The batch is empty.")]
    BatchEmpty,
    #[error("The batch is too long: at most {0} operations.")]
    BatchLong(usize),
    #[error("Each operation of a batch must be a JSON object, with each parameter once at most.")]
    BatchEntry,
    #[error("Batches are answered as application/graphql-response+json or application/json.")]
    BatchStreamed,
    #[error("The parameter `query` is missing, or is no string.")]
    Query,
    #[error("The parameter `{0}` has the wrong type.")]
    Parameter(&'static str),
    #[error("The parameter `{0}` occurs more than once.")]
    Repeated(&'static str),
    #[error("The request has too many values: at most {0}.")]
    Values(usize),
    #[error("Too many long requests are arriving at the moment. Try again later.")]
    BodiesBusy,
    #[error("The body broke off.")]
    BodyBroken,
    #[error("The body did not arrive in time.")]
    BodySlow,
    #[error("The body is too long: at most {0} bytes.")]
    BodyLong(usize),
    #[error("Send the body as application/json, in UTF-8.")]
    ContentType,
    #[error("Send the body as it is, without Content-Encoding: none is understood.")]
    ContentCoding,
    #[error(
        "Accept application/graphql-response+json, application/json, text/event-stream or multipart/mixed;subscriptionSpec=1.0, in UTF-8."
    )]
    Accept,
    #[error(
        "Subscriptions are served as text/event-stream, as multipart/mixed;subscriptionSpec=1.0 and over a WebSocket."
    )]
    StreamNeeded,
    #[error("Use POST, or GET for a query.")]
    Method,
    #[error(
        "Mutations go by POST, subscriptions by POST as text/event-stream or multipart/mixed, or over a WebSocket."
    )]
    QueriesOnly,
    #[error("This is no WebSocket handshake of version 13.")]
    Handshake,
    #[error("Send a WebSocket handshake without a body.")]
    HandshakeBody,
    #[error("Pages of this origin may not connect.")]
    Origin,
    #[error("Nothing is served at this path.")]
    NotFound,
    #[error("Too many sockets and event streams are open for this user.")]
    TooManyStreams,
    #[error("Sessions cannot be looked up at the moment. Try again later.")]
    Unavailable,
    #[error("The operation took too long.")]
    ExecutionTimeout,
    #[error("Too many operations are running on this socket.")]
    TooManyOperations,
    #[error("Your session has ended. Sign in again.")]
    SessionEnded,
    #[error("Something went wrong on our side. Please quote request id {0}.")]
    Internal(String),
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl RequestError {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Json
            | Self::Host
            | Self::TransferCoding
            | Self::Batch(_)
            | Self::BatchEmpty
            | Self::BatchLong(_)
            | Self::BatchEntry
            | Self::Query
            | Self::Parameter(_)
            | Self::Repeated(_)
            | Self::Values(_)
            | Self::BodyBroken
            | Self::Handshake
            | Self::HandshakeBody
            | Self::Document(_) => StatusCode::BAD_REQUEST,
            Self::SessionEnded => StatusCode::UNAUTHORIZED,
            Self::Origin => StatusCode::FORBIDDEN,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Method | Self::QueriesOnly => StatusCode::METHOD_NOT_ALLOWED,
            Self::Accept | Self::StreamNeeded | Self::BatchStreamed => StatusCode::NOT_ACCEPTABLE,
            Self::BodySlow => StatusCode::REQUEST_TIMEOUT,
            Self::BodyLong(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Self::ContentType | Self::ContentCoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Misdirected(_) => StatusCode::MISDIRECTED_REQUEST,
            Self::TooManyStreams | Self::TooManyOperations => StatusCode::TOO_MANY_REQUESTS,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable | Self::BodiesBusy => StatusCode::SERVICE_UNAVAILABLE,
            Self::ExecutionTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Json
            | Self::Host
            | Self::TransferCoding
            | Self::Batch(_)
            | Self::BatchEmpty
            | Self::BatchLong(_)
            | Self::BatchEntry
            | Self::Query
            | Self::Parameter(_)
            | Self::Repeated(_)
            | Self::Values(_)
            | Self::BodyBroken
            | Self::Handshake
            | Self::HandshakeBody => "BAD_REQUEST",
            Self::SessionEnded => "UNAUTHENTICATED",
            Self::Origin => "FORBIDDEN",
            Self::NotFound => "NOT_FOUND",
            Self::Method | Self::QueriesOnly => "METHOD_NOT_ALLOWED",
            Self::Accept | Self::StreamNeeded | Self::BatchStreamed => "NOT_ACCEPTABLE",
            Self::BodySlow => "REQUEST_TIMEOUT",
            Self::BodyLong(_) => "PAYLOAD_TOO_LARGE",
            Self::ContentType | Self::ContentCoding => "UNSUPPORTED_MEDIA_TYPE",
            Self::Misdirected(_) => "MISDIRECTED_REQUEST",
            Self::TooManyStreams => "TOO_MANY_STREAMS",
            Self::TooManyOperations => "TOO_MANY_OPERATIONS",
            Self::Internal(_) => "INTERNAL",
            Self::Unavailable | Self::BodiesBusy => "SERVICE_UNAVAILABLE",
            Self::ExecutionTimeout => "EXECUTION_TIMEOUT",
            Self::Document(error) => error.code(),
        }
    }

    /// Returns the `Allow` header of a 405.
    pub(crate) fn allow(&self) -> Option<HeaderValue> {
        match self {
            Self::Method => Some(HeaderValue::from_static("GET, POST")),
            Self::QueriesOnly => Some(HeaderValue::from_static("POST")),
            _ => None,
        }
    }
}

impl From<ForeignPage> for RequestError {
    fn from(_: ForeignPage) -> Self {
        Self::Origin
    }
}

impl From<&RequestError> for ServerError {
    fn from(refused: &RequestError) -> Self {
        let (position, variable) = match refused {
            RequestError::Document(error) => (error.position(), error.variable()),
            _ => (None, None),
        };
        let mut extensions = ErrorExtensionValues::default();
        extensions.set("code", refused.code());
        if let Some(variable) = variable {
            extensions.set("variable", variable);
        }
        let mut error = Self::new(refused.to_string(), position);
        error.extensions = Some(extensions);
        error
    }
}
