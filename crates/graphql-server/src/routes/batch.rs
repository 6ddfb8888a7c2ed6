//! Batches: a JSON list of operations in one request, where the options allow them.
//!
//! Each operation is read, checked and run as if it were alone in its request, one after the other. So a
//! batch keeps no more of the server busy at once than one operation does. An error of one operation is
//! reported in its place. All time limits start together, so the batch takes no longer than the longest
//! of them.

use std::{sync::Arc, time::Duration};

use async_graphql::parser::types::OperationType;
use axum::{
    http::{HeaderMap, header},
    response::Response,
};
use serde_json::value::RawValue;
use tokio::time::Instant;
use written_json::JsonText;

use crate::{
    document::DocumentError,
    execute::ExecutionResult,
    hooks::Hooks,
    http::{graphql_request::GraphqlRequest, json_body::json_body, response::error_response},
    options::ServerOptions,
    request::{
        body::RequestBody,
        error::RequestError,
        parameters::{Parameters, has_more_values},
    },
    service::{GraphqlService, PreparedOperation},
};

/// Tells whether the body is a batch, and batches are allowed.
pub(crate) fn is_batch(body: &[u8], options: &ServerOptions) -> bool {
    options.batch_limit > 0 && body.trim_ascii_start().first() == Some(&b'[')
}

/// Runs the operations and responds with their results in the same order.
pub(crate) async fn respond<H: Hooks>(
    service: &Arc<GraphqlService<H>>,
    request: &GraphqlRequest,
    body: &RequestBody,
) -> Response {
    run(service, request, &body.bytes)
        .await
        .unwrap_or_else(|error| {
            error_response(&service.count_refusal(error), request.accepted.json())
        })
}

async fn run<H: Hooks>(
    service: &Arc<GraphqlService<H>>,
    request: &GraphqlRequest,
    body: &[u8],
) -> Result<Response, RequestError> {
    if request.accepted.only_streams() {
        return Err(RequestError::BatchStreamed);
    }
    // Each operation authenticates itself: the one before may have signed out. A foreign page is refused
    // as a whole.
    service.hooks.credentials(request.page(&service.options))?;
    let entries = entries(body, &service.options)?;
    let mut batch = Batch {
        service,
        request,
        started: Instant::now(),
        has_secret: false,
    };
    let mut text = JsonText::default();
    let mut headers = HeaderMap::new();
    for entry in entries {
        let executed = batch.execute(entry.get().as_bytes()).await;
        let result = executed.unwrap_or_else(|error| ExecutionResult::from(&error));
        text.push(if text.is_empty() { b'[' } else { b',' });
        let written = result.write(&mut text);
        written.map_err(|_| RequestError::Internal(request.info.id.to_string()))?;
        for (name, value) in &result.headers {
            headers.append(name, value.clone());
        }
    }
    text.push(b']');
    headers.insert(header::CONTENT_TYPE, request.accepted.json().header());
    let mut response = Response::new(json_body(text));
    *response.headers_mut() = headers;
    Ok(response)
}

/// Splits a batch into its operations.
///
/// Parsed values take many times the memory of their text, so each operation is parsed in its turn.
fn entries<'a>(body: &'a [u8], options: &ServerOptions) -> Result<Vec<&'a RawValue>, RequestError> {
    let limit = options.batch_limit;
    let values = options.value_limit.saturating_mul(limit);
    if has_more_values(body, values) {
        return Err(RequestError::Values(values));
    }
    let entries: Vec<_> = serde_json::from_slice(body).map_err(|_| RequestError::Json)?;
    match entries.len() {
        0 => Err(RequestError::BatchEmpty),
        length if length > limit => Err(RequestError::BatchLong(limit)),
        _ => Ok(entries),
    }
}

/// Batch that is being executed.
struct Batch<'a, H: Hooks> {
    service: &'a Arc<GraphqlService<H>>,
    request: &'a GraphqlRequest,
    started: Instant,
    /// Tells whether an operation has taken a secret, of which a request may take one.
    has_secret: bool,
}

impl<H: Hooks> Batch<'_, H> {
    async fn execute(&mut self, entry: &[u8]) -> Result<ExecutionResult, RequestError> {
        let prepared = self.prepare(entry).await;
        // Operations that run are counted there.
        let (operation, time_left) = prepared.map_err(|error| self.service.count_refusal(error))?;
        self.service.execute_within(operation, time_left).await
    }

    /// Prepares an operation, and returns the rest of its time limit.
    async fn prepare(
        &mut self,
        entry: &[u8],
    ) -> Result<(PreparedOperation, Duration), RequestError> {
        let parameters = || {
            Parameters::from_body(entry, &self.service.options).map_err(|error| match error {
                RequestError::Json | RequestError::Batch(_) => RequestError::BatchEntry,
                other => other,
            })
        };
        let prepared = self.request.prepare(self.service, parameters).await;
        let operation = prepared?.operation;
        if operation.kind() == OperationType::Subscription {
            return Err(RequestError::StreamNeeded);
        }
        if operation.takes_secret() {
            if self.has_secret {
                return Err(DocumentError::SeveralSecrets(
                    self.service.documents.secret_mutations(),
                )
                .into());
            }
            self.has_secret = true;
        }
        let limit = self.service.time_limit(&operation);
        let time_left = limit.saturating_sub(self.started.elapsed());
        // An execution starts even when no time is left.
        if time_left.is_zero() {
            return Err(RequestError::ExecutionTimeout);
        }
        Ok((operation, time_left))
    }
}
