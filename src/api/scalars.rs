//! The schema's own scalars.

use async_graphql::{InputValueError, InputValueResult, Scalar, ScalarType, Value};
use chrono::{DateTime, SecondsFormat, Utc};
use entity::Millis;
use graphql_server::execute::written;
use written_json::WrittenJson;

/// An instant in UTC, as RFC 3339 text with milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Timestamp(pub DateTime<Utc>);

impl Timestamp {
    pub(super) fn to_text(self) -> String {
        self.0.to_rfc3339_opts(SecondsFormat::Millis, true)
    }
}

/// An instant in UTC, as RFC 3339 text with milliseconds.
#[Scalar(name = "DateTime")]
impl ScalarType for Timestamp {
    fn parse(value: Value) -> InputValueResult<Self> {
        match &value {
            Value::String(text) => Ok(Self(text.parse()?)),
            _ => Err(InputValueError::expected_type(value)),
        }
    }

    fn to_value(&self) -> Value {
        Value::String(self.to_text())
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant)
    }
}

impl From<Millis> for Timestamp {
    fn from(instant: Millis) -> Self {
        Self(instant.0)
    }
}

/// Any JSON value, passed through as it is.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Json(pub WrittenJson);

/// Any JSON value, passed through as it is.
#[Scalar(name = "JSON")]
impl ScalarType for Json {
    fn parse(value: Value) -> InputValueResult<Self> {
        Ok(Self(written::from_value(value)?))
    }

    fn to_value(&self) -> Value {
        written::to_value(self.0.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_have_milliseconds() {
        let instant = Timestamp(DateTime::from_timestamp_millis(1_700_000_000_120).unwrap());
        let value = instant.to_value();
        assert_eq!(value, Value::from("2023-11-14T22:13:20.120Z"));
        assert_eq!(Timestamp::parse(value).unwrap(), instant);
        assert!(Timestamp::parse(Value::from("yesterday")).is_err());
        assert!(Timestamp::parse(Value::from(1)).is_err());
    }
}
