//! Execution results, the same on every transport.

use std::{collections::BTreeMap, mem};

use async_graphql::{ErrorExtensionValues, Response, ServerError, Value};
use axum::http::HeaderMap;
use written_json::{JsonText, WrittenJson};

use super::{completion::is_request_error, written};
use crate::request::error::RequestError;

/// Errors in one result; more are dropped.
const MAX_ERRORS: usize = 10;

/// Characters of an error message; more are cut off.
const MAX_MESSAGE: usize = 400;

/// Parts of async-graphql's messages after which a value is quoted, perhaps a password.
const QUOTING: [&str; 2] = [", found ", " does not contain the value "];

/// Data of a result.
#[derive(Debug)]
enum ResultData {
    /// Values, of which parts may be written JSON.
    Values(Value),
    /// Written JSON as a whole.
    Written(WrittenJson),
}

/// Execution result. Its `data` is absent where nothing was executed.
#[derive(Debug)]
pub struct ExecutionResult {
    data: Option<ResultData>,
    pub(crate) errors: Vec<ServerError>,
    extensions: BTreeMap<String, Value>,
    /// Headers that resolvers asked for.
    pub(crate) headers: HeaderMap,
}

impl ExecutionResult {
    /// Creates a result from written `data`.
    pub fn written(data: WrittenJson) -> Self {
        Self {
            data: Some(ResultData::Written(data)),
            errors: Vec::new(),
            extensions: BTreeMap::new(),
            headers: HeaderMap::new(),
        }
    }

    /// Serializes the result.
    pub(crate) fn to_json(&self) -> serde_json::Result<JsonText> {
        self.to_json_between("", "")
    }

    /// Serializes the result between two texts of a transport.
    pub(crate) fn to_json_between(
        &self,
        before: &str,
        after: &str,
    ) -> serde_json::Result<JsonText> {
        let mut text =
            JsonText::with_capacity(before.len() + self.estimated_length() + after.len());
        text.push_str(before);
        self.write(&mut text)?;
        text.push_str(after);
        Ok(text)
    }

    /// Appends the result to a text.
    pub(crate) fn write(&self, text: &mut JsonText) -> serde_json::Result<()> {
        text.reserve(self.estimated_length());
        let mut opening = r#"{""#;
        let mut member = |text: &mut JsonText, name: &str| {
            for part in [mem::replace(&mut opening, r#",""#), name, r#"":"#] {
                text.push_str(part);
            }
        };
        if let Some(data) = &self.data {
            member(text, "data");
            match data {
                ResultData::Values(values) => written::write(values, text)?,
                ResultData::Written(json) => text.push_json(&json.to_bytes()),
            }
        }
        // A result without data has errors.
        if !self.errors.is_empty() || self.data.is_none() {
            member(text, "errors");
            serde_json::to_writer(&mut *text, &self.errors)?;
        }
        if !self.extensions.is_empty() {
            member(text, "extensions");
            serde_json::to_writer(&mut *text, &self.extensions)?;
        }
        text.push(b'}');
        Ok(())
    }

    /// Estimates the bytes that the result adds to a text.
    ///
    /// The number is exact for written JSON.
    fn estimated_length(&self) -> usize {
        const AROUND_DATA: usize = r#"{"data":}"#.len();
        const ERROR: usize = 512;
        let data = match &self.data {
            Some(ResultData::Values(values)) => written::estimated_length(values),
            Some(ResultData::Written(json)) => written::own_length(json),
            None => 0,
        };
        AROUND_DATA + data + ERROR * self.errors.len()
    }

    /// Tells whether the operation was not executed.
    pub(crate) fn is_request_error(&self) -> bool {
        self.data.is_none()
    }

    /// Returns the code of the first error.
    pub(crate) fn error_code(&self) -> Option<&str> {
        let error = self.errors.first()?;
        match error.extensions.as_ref()?.get("code")? {
            Value::String(code) => Some(code),
            _ => None,
        }
    }
}

impl From<&RequestError> for ExecutionResult {
    fn from(error: &RequestError) -> Self {
        Self {
            data: None,
            errors: vec![error.into()],
            extensions: BTreeMap::new(),
            headers: HeaderMap::new(),
        }
    }
}

impl From<Response> for ExecutionResult {
    fn from(response: Response) -> Self {
        let executed = !is_request_error(&response);
        let code = if executed {
            "BAD_USER_INPUT"
        } else {
            "GRAPHQL_VALIDATION_FAILED"
        };
        let errors = response.errors.into_iter().take(MAX_ERRORS);
        Self {
            data: executed.then_some(ResultData::Values(response.data)),
            errors: errors.map(|error| sanitize(error, code)).collect(),
            extensions: response.extensions,
            headers: response.http_headers,
        }
    }
}

/// Adds `code` to an error without one, and cuts long messages.
///
/// Errors of resolvers carry a code. Errors of async-graphql do not; their messages are cut before they
/// quote a value.
fn sanitize(mut error: ServerError, code: &str) -> ServerError {
    let has_code = error
        .extensions
        .as_ref()
        .is_some_and(|extensions| extensions.get("code").is_some());
    if !has_code {
        error
            .extensions
            .get_or_insert_with(ErrorExtensionValues::default)
            .set("code", code);
        let quote = QUOTING
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
