//! Batches: a JSON list of operations in one request, where the operator allows them.
//!
//! Each operation is read, checked and run as if it were alone in its request, one after the other: a batch
//! never keeps more of the gateway busy at once than a single operation does. What goes wrong with one is
//! told in its place. The clocks of all start together, so that the whole takes no longer than the longest
//! of them may.

use std::{sync::Arc, time::Duration};

use async_graphql::{Executor, parser::types::OperationType};
use axum::{
    http::{HeaderMap, header},
    response::Response,
};
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::{
    answer::Answer,
    body::Received,
    cookie,
    gateway::{Gateway, Operation},
    handlers::{Call, refuse},
    parameters::{Parameters, has_more_values},
    refusal::Refusal,
    settings::HttpSettings,
    written,
};
use crate::{graphql::limits::DocumentError, json::Text};

/// Whether the body is a batch that may be looked at.
pub(crate) fn is_batch(body: &[u8], settings: &HttpSettings) -> bool {
    settings.batch_limit > 0 && body.trim_ascii_start().first() == Some(&b'[')
}

/// Runs the operations and answers them in their order.
pub(crate) async fn answer<E: Executor>(
    gateway: &Arc<Gateway<E>>,
    call: &Call,
    body: &Received,
) -> Response {
    run(gateway, call, &body.bytes)
        .await
        .unwrap_or_else(|refusal| refuse(&gateway.refused(refusal), call.accepted.json()))
}

async fn run<E: Executor>(
    gateway: &Arc<Gateway<E>>,
    call: &Call,
    body: &[u8],
) -> Result<Response, Refusal> {
    if call.accepted.only_streams() {
        return Err(Refusal::BatchStreamed);
    }
    // Each operation looks for its caller itself, who may have signed out in the one before. But a page that
    // may not use the cookie gets nothing else told either.
    cookie::session_token(call.page(&gateway.settings))?;
    let entries = entries(body, &gateway.settings)?;
    let mut batch = Batch {
        gateway,
        call,
        began: Instant::now(),
        secret_checked: false,
    };
    let mut text = Text::default();
    let mut headers = HeaderMap::new();
    for entry in entries {
        let executed = batch.execute(entry.get().as_bytes()).await;
        let answer = executed.unwrap_or_else(|refusal| Answer::from(&refusal));
        text.push(if text.len() == 0 { b'[' } else { b',' });
        let written = answer.write(&mut text);
        written.map_err(|_| Refusal::Internal(call.origin.request_id.to_string()))?;
        for (name, value) in &answer.headers {
            headers.append(name, value.clone());
        }
    }
    text.push(b']');
    headers.insert(header::CONTENT_TYPE, call.accepted.json().header());
    let mut response = Response::new(written::body(text));
    *response.headers_mut() = headers;
    Ok(response)
}

/// The operations as they were sent: values take many times the room of their text, so each is read when
/// it is its turn.
fn entries<'a>(body: &'a [u8], settings: &HttpSettings) -> Result<Vec<&'a RawValue>, Refusal> {
    let limit = settings.batch_limit;
    let values = settings.value_limit.saturating_mul(limit);
    if has_more_values(body, values) {
        return Err(Refusal::Values(values));
    }
    let entries: Vec<_> = serde_json::from_slice(body).map_err(|_| Refusal::Json)?;
    match entries.len() {
        0 => Err(Refusal::BatchEmpty),
        length if length > limit => Err(Refusal::BatchLong(limit)),
        _ => Ok(entries),
    }
}

/// A batch that is being worked on.
struct Batch<'a, E> {
    gateway: &'a Arc<Gateway<E>>,
    call: &'a Call,
    began: Instant,
    /// Whether one of its operations has checked a secret: a request is one try.
    secret_checked: bool,
}

impl<E: Executor> Batch<'_, E> {
    async fn execute(&mut self, entry: &[u8]) -> Result<Answer, Refusal> {
        let understood = self.understand(entry).await;
        // What becomes of one that runs is counted as it runs.
        let (operation, left) = understood.map_err(|refusal| self.gateway.refused(refusal))?;
        self.gateway.execute_within(operation, left).await
    }

    /// The operation, and how long it may run.
    async fn understand(&mut self, entry: &[u8]) -> Result<(Operation, Duration), Refusal> {
        let parameters = || {
            let limit = self.gateway.settings.value_limit;
            Parameters::from_body(entry, limit).map_err(|refusal| match refusal {
                Refusal::Json | Refusal::Batch => Refusal::BatchEntry,
                other => other,
            })
        };
        let understood = self.call.understand(self.gateway, parameters).await;
        let (operation, ..) = understood?;
        if operation.kind == OperationType::Subscription {
            return Err(Refusal::StreamNeeded);
        }
        if operation.checks_secret() {
            if self.secret_checked {
                return Err(DocumentError::Once.into());
            }
            self.secret_checked = true;
        }
        let limit = self.gateway.time_limit(&operation);
        let left = limit.saturating_sub(self.began.elapsed());
        // Even without any time left, an execution would begin.
        if left.is_zero() {
            return Err(Refusal::ExecutionTimeout);
        }
        Ok((operation, left))
    }
}
