//! Responses with results and request errors.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};

use super::{json_body::json_body, media::Media};
use crate::{execute::ExecutionResult, request::error::RequestError};

/// Responds with the result of an operation.
pub(crate) fn respond(result: &ExecutionResult, media: Media) -> Response {
    let status = if result.is_request_error() && media == Media::GraphqlResponse {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    json(status, result, media)
}

/// Responds with a request error.
pub(crate) fn error_response(error: &RequestError, media: Media) -> Response {
    // The request is well-formed and only its query is not: application/json answers that with a 200.
    // Clients that are asked for a text look at no other status.
    let status = match error {
        RequestError::Document(document) if media == Media::Json || document.asks_for_text() => {
            StatusCode::OK
        }
        _ => error.status(),
    };
    let mut response = json(status, &error.into(), media);
    let headers = response.headers_mut();
    if let Some(allow) = error.allow() {
        headers.insert(header::ALLOW, allow);
    }
    if matches!(error, RequestError::ContentCoding) {
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
    }
    if matches!(
        error,
        RequestError::BodyLong(_)
            | RequestError::BodySlow
            | RequestError::BodyBroken
            | RequestError::BodiesBusy
            | RequestError::TransferCoding
            | RequestError::HandshakeBody
    ) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn json(status: StatusCode, result: &ExecutionResult, media: Media) -> Response {
    match result.to_json() {
        Ok(body) => {
            let mut response = Response::new(json_body(body));
            *response.status_mut() = status;
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, media.header());
            for (name, value) in &result.headers {
                headers.append(name, value.clone());
            }
            response
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
