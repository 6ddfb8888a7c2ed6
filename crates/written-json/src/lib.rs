//! JSON as text, passed on digit by digit, whatever its size and depth.
//!
//! A tree of values would change it. `12345678901234567890123`, `1.10` and `-0.0` have no number that
//! prints like them, and `1e400` has none at all. Deep nesting overflows the stack. A tree takes many
//! times the memory of its text, too, once for each place that shows it.

mod members;
mod surrogates;
mod text;

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

pub use members::{lenient, read};
pub use text::{Chunk, JsonText};

/// Byte order mark before UTF-8.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Text of one JSON value. Clones share it.
#[derive(Clone, PartialEq, Eq)]
pub struct WrittenJson(Bytes);

/// Fault of invalid JSON. The message repeats nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// The text is not UTF-8.
    #[error("no UTF-8 from byte {0} on")]
    Encoding(usize),
    /// The fault and its position.
    #[error("{0}")]
    Syntax(String),
}

impl WrittenJson {
    /// Checks JSON from another source.
    ///
    /// Lone surrogates become U+FFFD. JavaScript writes them where it cut a text, and strict parsers
    /// refuse the whole text.
    ///
    /// # Errors
    ///
    /// The text is no JSON.
    pub fn parse(mut text: Vec<u8>) -> Result<Self, InvalidJson> {
        if text.starts_with(BYTE_ORDER_MARK) {
            text.drain(..BYTE_ORDER_MARK.len());
        }
        let checked = str::from_utf8(&text);
        checked.map_err(|error| InvalidJson::Encoding(error.valid_up_to()))?;
        surrogates::replace_lone(&mut text);
        // A value that is skipped has no limit of depth or size.
        let passed = serde_json::from_slice::<IgnoredAny>(&text);
        passed.map_err(|error| InvalidJson::Syntax(error.to_string()))?;
        Ok(Self(text.into()))
    }

    /// Wraps JSON that the program itself has serialized, unchecked.
    pub fn new_unchecked(json: impl Into<Bytes>) -> Self {
        Self(json.into())
    }

    /// Returns the value null.
    pub fn null() -> Self {
        Self(Bytes::from_static(b"null"))
    }

    /// Copies a part of a larger text, which is then not kept in memory.
    pub fn from_raw_value(part: &RawValue) -> Self {
        Self(Bytes::copy_from_slice(part.get().as_bytes()))
    }

    /// Returns the text.
    pub fn as_str(&self) -> &str {
        // The bytes are UTF-8, which was checked or serialized.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Returns the bytes, shared. They are UTF-8.
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// Turns the value into its bytes.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// Returns the length in bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns false: no JSON has an empty text.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Deserializes the value as JavaScript would: the last of several members with one name counts.
    ///
    /// No tree is built of skipped members, nor of those that are read as a `&RawValue`.
    ///
    /// # Errors
    ///
    /// The value has another shape.
    pub fn read<'t, T: Deserialize<'t>>(&'t self) -> serde_json::Result<T> {
        read(self.as_str())
    }
}

/// Prints the length alone, because the text may be a secret.
impl fmt::Debug for WrittenJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WrittenJson({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parse(text: impl AsRef<[u8]>) -> Result<WrittenJson, InvalidJson> {
        WrittenJson::parse(text.as_ref().to_vec())
    }

    #[rstest]
    #[case("12345678901234567890123")]
    #[case("-0.0")]
    #[case("1e400")]
    #[case("[1.10, 1E+2,\r\n\t{ \"a\" : null, \"a\" : 1 }]")]
    #[case(r#"{"resul\u0074":"\u0000\\ud83d"}"#)]
    #[case(r#"{"$serde_json::private::RawValue":"[","$serde_json::private::Number":"x"}"#)]
    fn text_is_not_changed(#[case] text: &str) {
        assert_eq!(parse(text).unwrap().as_str(), text);
    }

    #[test]
    fn any_depth_is_accepted() {
        for depth in [128, 5_000, 1_000_000] {
            let list = "[".repeat(depth) + &"]".repeat(depth);
            assert_eq!(parse(&list).unwrap().as_str(), list);
            let object = r#"{"a":"#.repeat(depth) + "1" + &"}".repeat(depth);
            assert_eq!(parse(&object).unwrap().as_str(), object);
        }
    }

    #[rstest]
    #[case::nothing(b"", "EOF while parsing a value at line 1 column 0")]
    #[case::a_page(b"<html>secret", "expected value at line 1 column 1")]
    #[case::cut_off(b"{\"a\":\n[\"secret\"", "EOF while parsing a list at line 2 column 9")]
    #[case::more(b"[1] secret", "trailing characters at line 1 column 5")]
    #[case::bad_bytes(b"\"sec\xffret\"", "no UTF-8 from byte 4 on")]
    #[case::a_character_cut_off(b"\"\xf0\x9f\x98", "no UTF-8 from byte 1 on")]
    #[case::a_surrogate_in_bytes(b"\"\xed\xa0\xbd\"", "no UTF-8 from byte 1 on")]
    #[case::zeros(b"[012]", "invalid number at line 1 column 3")]
    #[case::a_bare_key(b"{secret:1}", "key must be a string at line 1 column 2")]
    #[case::a_line_in_a_text(
        b"\"a\nb\"",
        "control character (\\u0000-\\u001F) found while parsing a string at line 1 column 2"
    )]
    #[case::an_escape(b"\"\\x20\"", "invalid escape at line 1 column 3")]
    #[case::not_a_number(b"NaN", "expected value at line 1 column 1")]
    fn error_does_not_repeat_the_text(#[case] bytes: &[u8], #[case] cause: &str) {
        assert_eq!(parse(bytes).unwrap_err().to_string(), cause);
    }

    #[test]
    fn byte_order_mark_is_removed() {
        assert_eq!(parse("\u{feff}[1]").unwrap().as_str(), "[1]");
    }

    #[test]
    fn debug_output_is_the_length() {
        let json = parse(r#"["secret"]"#).unwrap();
        assert_eq!(format!("{json:?}"), "WrittenJson(10 bytes)");
    }
}
