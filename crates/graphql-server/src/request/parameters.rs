//! Parameters of a GraphQL request, on any transport.

use async_graphql::{Name, Value, Variables, indexmap::IndexMap};
use serde::Deserialize;
use url::form_urlencoded;

use super::error::RequestError;
use crate::{document::DocumentSource, options::ServerOptions};

/// JSON object as it was sent.
///
/// `serde_json::Value` is not used: it parses the text under one certain key as JSON again, past all
/// limits.
pub(crate) type Object = IndexMap<Name, Value>;

/// Document, `operationName` and `variables`. They may hold secrets, so the type does not implement
/// `Debug`.
pub(crate) struct Parameters {
    pub(crate) document: DocumentSource,
    pub(crate) operation_name: Option<String>,
    pub(crate) variables: Variables,
}

/// Parameters of any type, as they were sent; others are ignored.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sent {
    query: Option<Value>,
    document_id: Option<Value>,
    operation_name: Option<Value>,
    variables: Option<Value>,
    extensions: Option<Value>,
}

impl Parameters {
    /// Reads the body of a POST.
    pub(crate) fn from_body(body: &[u8], options: &ServerOptions) -> Result<Self, RequestError> {
        let limit = options.value_limit;
        if has_more_values(body, limit) {
            return Err(RequestError::Values(limit));
        }
        match body.trim_ascii_start() {
            [b'{', ..] => {
                Self::from_sent(serde_json::from_slice(body).map_err(|_| RequestError::Json)?)
            }
            [b'[', ..] => Err(RequestError::Batch(options.wording.batch_limit)),
            _ => Err(RequestError::Json),
        }
    }

    /// Reads the query part of a GET's URL, whose JSON may have `limit` values.
    pub(crate) fn from_url(query: &str, limit: usize) -> Result<Self, RequestError> {
        let mut sent = Sent::default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let (name, place, is_json) = match key.as_ref() {
                "query" => ("query", &mut sent.query, false),
                "documentId" => ("documentId", &mut sent.document_id, false),
                "operationName" => ("operationName", &mut sent.operation_name, false),
                "variables" => ("variables", &mut sent.variables, true),
                "extensions" => ("extensions", &mut sent.extensions, true),
                _ => continue,
            };
            let value = if is_json {
                json(name, &value, limit)?
            } else {
                Value::String(value.into_owned())
            };
            if place.replace(value).is_some() {
                return Err(RequestError::Repeated(name));
            }
        }
        Self::from_sent(sent)
    }

    /// Reads a JSON object.
    pub(crate) fn from_object(mut object: Object) -> Result<Self, RequestError> {
        Self::from_sent(Sent {
            query: object.swap_remove("query"),
            document_id: object.swap_remove("documentId"),
            operation_name: object.swap_remove("operationName"),
            variables: object.swap_remove("variables"),
            extensions: object.swap_remove("extensions"),
        })
    }

    fn from_sent(sent: Sent) -> Result<Self, RequestError> {
        let text = match sent.query {
            None | Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text),
            Some(_) => return Err(RequestError::Query),
        };
        let id = string("documentId", sent.document_id)?;
        let operation_name = string("operationName", sent.operation_name)?;
        let variables = match sent.variables {
            None | Some(Value::Null) => Variables::default(),
            Some(variables @ Value::Object(_)) => Variables::from_value(variables),
            Some(_) => return Err(RequestError::Parameter("variables")),
        };
        let persisted = match sent.extensions {
            None | Some(Value::Null) => None,
            Some(Value::Object(mut extensions)) => extensions.swap_remove("persistedQuery"),
            Some(_) => return Err(RequestError::Parameter("extensions")),
        };
        Ok(Self {
            document: document_source(text, id, persisted)?,
            operation_name,
            variables,
        })
    }
}

/// Selects the source of the document: its text, its `documentId`, or the hash in `extensions`.
fn document_source(
    text: Option<String>,
    id: Option<String>,
    persisted: Option<Value>,
) -> Result<DocumentSource, RequestError> {
    let id = match (id, persisted) {
        (None, Some(Value::Object(mut persisted))) => {
            let version = persisted.get("version");
            if !matches!(version, Some(Value::Number(version)) if version.as_u64() == Some(1)) {
                return Ok(DocumentSource::UnknownVersion);
            }
            string(
                "extensions.persistedQuery",
                persisted.swap_remove("sha256Hash"),
            )?
        }
        (id, None | Some(Value::Null)) | (id @ Some(_), _) => id,
        (None, Some(_)) => return Err(RequestError::Parameter("extensions.persistedQuery")),
    };
    match (id, text) {
        (Some(id), text) => Ok(DocumentSource::Id {
            id,
            text: text.filter(|text| !text.is_empty()),
        }),
        (None, Some(text)) => Ok(DocumentSource::Text(text)),
        (None, None) => Err(RequestError::Query),
    }
}

/// Returns a text; none when it is absent or empty.
fn string(name: &'static str, value: Option<Value>) -> Result<Option<String>, RequestError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text).filter(|text| !text.is_empty())),
        Some(_) => Err(RequestError::Parameter(name)),
    }
}

/// Tells whether the JSON has more than `limit` values.
///
/// Parsed values take many times the memory of their text, so they are counted before they are parsed.
pub(crate) fn has_more_values(json: &[u8], limit: usize) -> bool {
    // Each value takes a byte at least, besides the first.
    if json.len() < limit {
        return false;
    }
    let (mut values, mut in_string, mut escaped) = (1_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            // Each value but the first of a list or an object follows a comma.
            b',' | b'[' | b'{' if !in_string => values += 1,
            _ => {}
        }
    }
    values > limit
}

fn json(name: &'static str, text: &str, limit: usize) -> Result<Value, RequestError> {
    if has_more_values(text.as_bytes(), limit) {
        return Err(RequestError::Values(limit));
    }
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).map_err(|_| RequestError::Parameter(name))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn options() -> ServerOptions {
        ServerOptions {
            value_limit: 10,
            ..ServerOptions::default()
        }
    }

    /// Key whose text `serde_json` parses again.
    const RAW: &str = "$serde_json::private::RawValue";

    #[rstest]
    #[case("1", 1)]
    #[case("[]", 2)]
    #[case("[1,2,3]", 4)]
    #[case(r#"{"a":1,"b":[1,2]}"#, 5)]
    #[case(r#"{"a{[,":"{[,\\","b\"{[,":2}"#, 3)]
    fn values_are_counted(#[case] json: &str, #[case] values: usize) {
        assert!(!has_more_values(json.as_bytes(), values));
        assert!(has_more_values(json.as_bytes(), values - 1));
    }

    #[rstest]
    #[case(r#" {"query":"{ a }","variables":{"a":1},"other":[]}"#, None)]
    #[case(r#"{"query":"{ a }","query":"{ b }"}"#, Some("each parameter once"))]
    #[case(r#" ["{ a }"]"#, Some("Batches"))]
    #[case(r#""{ a }""#, Some("a JSON object"))]
    #[case(r#"{"query":"{ a }"} {}"#, Some("a JSON object"))]
    #[case(r#"{"query":1}"#, Some("`query`"))]
    #[case(r#"{"query":"{ a }","variables":[]}"#, Some("`variables`"))]
    fn body_must_be_one_object(#[case] body: &str, #[case] refused: Option<&str>) {
        let read = Parameters::from_body(body.as_bytes(), &options());
        let message = read.err().map(|refusal| refusal.to_string());
        assert_eq!(message.is_some(), refused.is_some(), "{message:?}");
        assert!(message.is_none_or(|message| refused.is_some_and(|part| message.contains(part))));
    }

    #[test]
    fn raw_value_key_is_not_parsed_again() {
        let body = format!(r#"{{"query":"{{ a }}","variables":{{"v":{{"{RAW}":"[1,2,3]"}}}}}}"#);
        let parameters = Parameters::from_body(body.as_bytes(), &options()).ok();
        let variables = parameters.expect("a request").variables;
        let text = Object::from([(Name::new(RAW), Value::from("[1,2,3]"))]);
        assert_eq!(variables.get("v"), Some(&Value::Object(text)));
    }
}
