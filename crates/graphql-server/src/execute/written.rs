//! Written JSON as a value of async-graphql.
//!
//! async-graphql has no value for JSON text. `Value::Binary` is the only opaque value that it leaves as
//! it is, and clones of it share their bytes. This module alone makes and reads such values. serde would
//! write one as a list of numbers, so results are serialized with [`write`].

use async_graphql::Value;
use written_json::{JsonText, WrittenJson};

/// Wraps written JSON in a value.
pub fn to_value(json: WrittenJson) -> Value {
    Value::Binary(json.into_bytes())
}

/// Serializes a value, with written JSON as it is.
///
/// # Errors
///
/// None that a value is known to lead to.
pub fn from_value(value: Value) -> serde_json::Result<WrittenJson> {
    match value {
        Value::Binary(json) => Ok(WrittenJson::new_unchecked(json)),
        value => {
            let mut json = JsonText::with_capacity(estimated_length(&value));
            write(&value, &mut json)?;
            Ok(WrittenJson::new_unchecked(json.into_bytes()))
        }
    }
}

/// Appends the value's JSON, with written JSON as it is.
///
/// # Errors
///
/// None that a value is known to lead to.
pub(crate) fn write(value: &Value, json: &mut JsonText) -> serde_json::Result<()> {
    match value {
        Value::Binary(written) => json.push_json(written),
        Value::List(items) => {
            json.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                write(item, json)?;
            }
            json.push(b']');
        }
        Value::Object(fields) => {
            json.push(b'{');
            for (index, (name, field)) in fields.iter().enumerate() {
                if index > 0 {
                    json.push(b',');
                }
                serde_json::to_writer(&mut *json, name.as_str())?;
                json.push(b':');
                write(field, json)?;
            }
            json.push(b'}');
        }
        leaf => serde_json::to_writer(json, leaf)?,
    }
    Ok(())
}

/// Bytes that written JSON adds to a text, not counting shared ones.
pub(super) fn own_length(json: &WrittenJson) -> usize {
    let bytes = json.to_bytes();
    if JsonText::is_long(&bytes) {
        0
    } else {
        bytes.len()
    }
}

/// Estimates the bytes that the value's JSON adds to a text, not counting shared ones.
///
/// The number is exact for written JSON, so that a buffer of this size need not grow.
pub(crate) fn estimated_length(value: &Value) -> usize {
    const BRACKETS: usize = 2;
    const PUNCTUATION: usize = 4;
    const LEAF: usize = 8;
    match value {
        Value::Binary(written) if JsonText::is_long(written) => 0,
        Value::Binary(written) => written.len(),
        Value::String(text) => BRACKETS + text.len(),
        Value::List(items) => {
            let items = items.iter().map(|item| 1 + estimated_length(item));
            BRACKETS + items.sum::<usize>()
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields =
                fields.map(|(name, field)| PUNCTUATION + name.len() + estimated_length(field));
            BRACKETS + fields.sum::<usize>()
        }
        Value::Null | Value::Number(_) | Value::Boolean(_) | Value::Enum(_) => LEAF,
    }
}

#[cfg(test)]
mod tests {
    use async_graphql::{Name, value};

    use super::*;

    fn written(value: &Value) -> String {
        let mut json = JsonText::default();
        write(value, &mut json).unwrap();
        let own = json.own_mut().len();
        assert!(own <= estimated_length(value), "{value}");
        String::from_utf8(json.into_bytes()).unwrap()
    }

    #[test]
    fn values_are_written_as_serde_writes_them() {
        let value = value!({
            "text": "a \"quote\"\n", "none": null, "yes": true, "list": [], "object": {},
            "numbers": [1, 1.5], "nested": [[{ "a": [1, 2] }], {}],
        });
        assert_eq!(written(&value), serde_json::to_string(&value).unwrap());
        let word = Value::Enum(Name::new("READY"));
        assert_eq!(written(&word), "\"READY\"");
    }

    #[test]
    fn written_json_is_kept_in_any_position() {
        let text = "[1.10, -0.0 , 1e400,\n12345678901234567890123, \"\u{1F600}\"]";
        let json = WrittenJson::parse(text.into()).unwrap();
        let carried = to_value(json);
        assert_eq!(written(&carried), text);
        let within = Value::List(vec![value!({ "a": 1 }), carried.clone(), carried]);
        assert_eq!(written(&within), format!(r#"[{{"a":1}},{text},{text}]"#));
    }

    #[test]
    fn long_json_is_shared_however_often_it_appears() {
        let json = WrittenJson::parse(format!("[{}]", " ".repeat(100_000)).into()).unwrap();
        let value = Value::List(vec![to_value(json.clone()); 14]);
        assert!(estimated_length(&value) < 100);
        assert_eq!(written(&value).len(), 14 * json.len() + 15);
    }
}
