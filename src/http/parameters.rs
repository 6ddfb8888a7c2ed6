//! The parameters of a GraphQL request, however it arrives.

use async_graphql::Variables;
use serde_json::{Map, Value};
use url::form_urlencoded;

use super::refusal::Refusal;

/// `query`, `operationName` and `variables`. It may hold secrets, so it cannot be printed.
pub(crate) struct Parameters {
    pub(crate) query: String,
    pub(crate) operation_name: Option<String>,
    pub(crate) variables: Variables,
}

impl Parameters {
    /// From the body of a POST.
    pub(crate) fn from_body(body: &[u8]) -> Result<Self, Refusal> {
        match serde_json::from_slice(body) {
            Ok(Value::Object(object)) => Self::from_object(object),
            Ok(Value::Array(_)) => Err(Refusal::Batch),
            _ => Err(Refusal::Json),
        }
    }

    /// From the query part of a GET's URL.
    pub(crate) fn from_url(query: &str) -> Result<Self, Refusal> {
        let mut object = Map::new();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let (key, value) = match key.as_ref() {
                "query" => ("query", Value::String(value.into_owned())),
                "operationName" => ("operationName", Value::String(value.into_owned())),
                "variables" => ("variables", json("variables", &value)?),
                "extensions" => ("extensions", json("extensions", &value)?),
                _ => continue,
            };
            if object.insert(key.to_owned(), value).is_some() {
                return Err(Refusal::Repeated(key));
            }
        }
        Self::from_object(object)
    }

    /// From a JSON object. `extensions` are looked at, and not used.
    pub(crate) fn from_object(mut object: Map<String, Value>) -> Result<Self, Refusal> {
        let Some(Value::String(query)) = object.remove("query") else {
            return Err(Refusal::Query);
        };
        let operation_name = match object.remove("operationName") {
            None | Some(Value::Null) => None,
            Some(Value::String(name)) => Some(name).filter(|name| !name.is_empty()),
            Some(_) => return Err(Refusal::Parameter("operationName")),
        };
        let variables = match object.remove("variables") {
            None | Some(Value::Null) => Variables::default(),
            Some(variables @ Value::Object(_)) => Variables::from_json(variables),
            Some(_) => return Err(Refusal::Parameter("variables")),
        };
        match object.remove("extensions") {
            None | Some(Value::Null | Value::Object(_)) => Ok(Self {
                query,
                operation_name,
                variables,
            }),
            Some(_) => Err(Refusal::Parameter("extensions")),
        }
    }
}

fn json(name: &'static str, text: &str) -> Result<Value, Refusal> {
    if text.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(text).map_err(|_| Refusal::Parameter(name))
}
