//! What is answered to an operation, the same on every transport.

use std::collections::BTreeMap;

use async_graphql::{ErrorExtensionValues, Response, ServerError, Value};
use axum::http::HeaderMap;
use bytes::Bytes;
use serde::{Serialize, Serializer, ser::Error as _};
use serde_json::value::RawValue;

use super::refusal::Refusal;
use crate::graphql::completion::is_request_error;

/// Errors in one answer; the rest is dropped.
const MAX_ERRORS: usize = 10;

/// Characters of an error's message; the rest is cut off.
const MAX_MESSAGE: usize = 400;

/// Where async-graphql's own messages begin to quote a value, which may be a password.
const QUOTES: [&str; 2] = [", found ", " does not contain the value "];

/// An execution result: `data` is absent where nothing was executed.
#[derive(Debug, Serialize)]
pub(crate) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<Selected>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<ServerError>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extensions: BTreeMap<String, Value>,
    /// What resolvers asked to send along.
    #[serde(skip)]
    pub(crate) headers: HeaderMap,
}

/// What an operation selected.
#[derive(Debug)]
pub(crate) enum Selected {
    /// Values, as they were resolved.
    Values(Value),
    /// JSON, as it was written for one or for several at once.
    Written(Bytes),
}

impl From<Value> for Selected {
    fn from(value: Value) -> Self {
        match value {
            Value::Binary(json) => Self::Written(json),
            value => Self::Values(value),
        }
    }
}

impl Serialize for Selected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Values(value) => value.serialize(serializer),
            Self::Written(json) => {
                let json: &RawValue = serde_json::from_slice(json).map_err(S::Error::custom)?;
                json.serialize(serializer)
            }
        }
    }
}

impl Answer {
    /// As it goes over the wire.
    pub(crate) fn to_json(&self) -> serde_json::Result<String> {
        match self.written() {
            Some(data) => Ok(format!(r#"{{"data":{data}}}"#)),
            None => serde_json::to_string(self),
        }
    }

    /// The JSON of what was selected, where that was written and nothing else is to be said.
    pub(crate) fn written(&self) -> Option<&str> {
        match &self.data {
            Some(Selected::Written(json))
                if self.errors.is_empty() && self.extensions.is_empty() =>
            {
                str::from_utf8(json).ok()
            }
            _ => None,
        }
    }

    /// Whether the operation was not executed at all.
    pub(crate) fn is_request_error(&self) -> bool {
        self.data.is_none()
    }

    /// The code of the first error; none when there is no error.
    pub(crate) fn error_code(&self) -> Option<&str> {
        let error = self.errors.first()?;
        match error.extensions.as_ref()?.get("code")? {
            Value::String(code) => Some(code),
            _ => None,
        }
    }
}

impl From<&Refusal> for Answer {
    fn from(refusal: &Refusal) -> Self {
        Self {
            data: None,
            errors: vec![refusal.into()],
            extensions: BTreeMap::new(),
            headers: HeaderMap::new(),
        }
    }
}

impl From<Response> for Answer {
    fn from(response: Response) -> Self {
        let executed = !is_request_error(&response);
        let code = if executed {
            "BAD_USER_INPUT"
        } else {
            "GRAPHQL_VALIDATION_FAILED"
        };
        let errors = response.errors.into_iter().take(MAX_ERRORS);
        Self {
            data: executed.then(|| Selected::from(response.data)),
            errors: errors.map(|error| complete(error, code)).collect(),
            extensions: response.extensions,
            headers: response.http_headers,
        }
    }
}

/// Errors of our resolvers carry a code. One without comes from async-graphql itself, which found an
/// argument's value or the document wanting: it gets `code`, and its message is kept from quoting.
fn complete(mut error: ServerError, code: &str) -> ServerError {
    let has_code = error
        .extensions
        .as_ref()
        .is_some_and(|extensions| extensions.get("code").is_some());
    if !has_code {
        error
            .extensions
            .get_or_insert_with(ErrorExtensionValues::default)
            .set("code", code);
        let quote = QUOTES
            .iter()
            .filter_map(|quote| error.message.find(quote))
            .min();
        if let Some(start) = quote {
            error.message.truncate(start);
            error.message.push('.');
        }
    }
    if let Some((end, _)) = error.message.char_indices().nth(MAX_MESSAGE) {
        error.message.truncate(end);
        error.message.push('…');
    }
    error
}
