//! Messages of the protocol.

use async_graphql::{ServerError, Value};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use written_json::JsonText;

use crate::{
    execute::ExecutionResult,
    request::{
        credentials::strip_bearer,
        parameters::{Object, Parameters, has_more_values},
    },
};

/// Bytes of an operation's id, which is kept and repeated for as long as the operation runs.
const MAX_ID_LENGTH: usize = 255;

/// Message of a client. It may hold secrets, so it does not implement `Debug`.
pub(super) enum ClientMessage {
    Init(Credentials),
    Ping(Option<Object>),
    Pong,
    Subscribe { id: String, parameters: Parameters },
    Complete { id: String },
}

/// Credentials in the payload of `connection_init`.
pub(super) enum Credentials {
    /// No credentials.
    Absent,
    /// Token, valid or not.
    Token(SecretString),
    /// Value that cannot be a token.
    Malformed,
}

/// Message on the wire.
#[derive(Deserialize)]
struct Envelope {
    r#type: Type,
    id: Option<String>,
    payload: Option<Object>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Type {
    ConnectionInit,
    Ping,
    Pong,
    Subscribe,
    Complete,
}

impl ClientMessage {
    /// Parses a message.
    ///
    /// Returns none for an unknown message, too long an id, or more than `limit` values.
    pub(super) fn parse(text: &str, limit: usize) -> Option<Self> {
        if has_more_values(text.as_bytes(), limit) {
            return None;
        }
        let envelope: Envelope = serde_json::from_str(text).ok()?;
        let fits = |id: &String| (1..=MAX_ID_LENGTH).contains(&id.len());
        let id = envelope.id.filter(fits);
        Some(match envelope.r#type {
            Type::ConnectionInit => Self::Init(credentials(envelope.payload.unwrap_or_default())),
            Type::Ping => Self::Ping(envelope.payload),
            Type::Pong => Self::Pong,
            Type::Subscribe => Self::Subscribe {
                id: id?,
                parameters: Parameters::from_object(envelope.payload?).ok()?,
            },
            Type::Complete => Self::Complete { id: id? },
        })
    }
}

/// Reads the token under `authorization`, with or without `Bearer`.
fn credentials(mut payload: Object) -> Credentials {
    let value = payload
        .swap_remove("authorization")
        .or_else(|| payload.swap_remove("Authorization"));
    match value {
        None | Some(Value::Null) => Credentials::Absent,
        Some(Value::String(text)) => {
            let text = text.trim();
            Credentials::Token(strip_bearer(text).unwrap_or(text).into())
        }
        Some(_) => Credentials::Malformed,
    }
}

/// Message of the server, except for results.
#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum ServerMessage<'a> {
    ConnectionAck,
    Pong {
        #[serde(skip_serializing_if = "Option::is_none")]
        payload: Option<Object>,
    },
    Error {
        id: &'a str,
        payload: &'a [ServerError],
    },
    Complete {
        id: &'a str,
    },
}

impl ServerMessage<'_> {
    /// Serializes the message.
    pub(super) fn to_text(&self) -> serde_json::Result<JsonText> {
        let mut text = JsonText::default();
        serde_json::to_writer(&mut text, self)?;
        Ok(text)
    }
}

/// Serializes a result of the operation.
pub(super) fn next(id: &str, result: &ExecutionResult) -> serde_json::Result<JsonText> {
    let id = serde_json::to_string(id)?;
    let start = format!(r#"{{"type":"next","id":{id},"payload":"#);
    result.to_json_between(&start, "}")
}

#[cfg(test)]
mod tests {
    use async_graphql::Response;
    use serde_json::json;
    use written_json::WrittenJson;

    use super::*;

    #[test]
    fn operation_ids_are_limited_in_length() {
        for (length, fits) in [(0, false), (1, true), (255, true), (256, false)] {
            let id = "x".repeat(length);
            for message in [
                json!({ "type": "subscribe", "id": id, "payload": { "query": "{ a }" } }),
                json!({ "type": "complete", "id": id }),
            ] {
                let parsed = ClientMessage::parse(&message.to_string(), 10);
                assert_eq!(parsed.is_some(), fits, "{length}");
            }
        }
    }

    #[test]
    fn written_and_resolved_results_are_sent_alike() {
        let data = json!({ "status": { "kind": "PROGRESS", "message": "a \"quote\"" } });
        let message = |payload: ExecutionResult| {
            let text = next("one \"two\"", &payload).expect("text");
            String::from_utf8(text.into_bytes()).expect("UTF-8")
        };
        let resolved = Value::from_json(data.clone()).expect("a value");
        let written = WrittenJson::parse(data.to_string().into()).expect("JSON");
        let text = message(ExecutionResult::written(written));
        assert_eq!(
            text,
            message(ExecutionResult::from(Response::new(resolved)))
        );
        let expected = json!({ "type": "next", "id": "one \"two\"", "payload": { "data": data } });
        assert_eq!(text, expected.to_string());
        assert_eq!(text.len(), text.capacity(), "it is not moved again");
    }
}
