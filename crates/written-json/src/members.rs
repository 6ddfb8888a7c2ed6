//! Deserializes structs as JavaScript would.
//!
//! The last of several members with one name counts, and a name may be written with escapes. serde's
//! derived code refuses a repeated name. Here the members of a struct are found as text first, and then
//! each is deserialized by itself.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{
        DeserializeSeed, IgnoredAny, IntoDeserializer, MapAccess, Visitor, value::MapDeserializer,
    },
    forward_to_deserialize_any,
};
use serde_json::{Error, value::RawValue};

/// Deserializes a value from its text.
///
/// # Errors
///
/// The text is no JSON, or has another shape.
pub fn read<'de, T: Deserialize<'de>>(json: &'de str) -> Result<T, Error> {
    T::deserialize(ValueText(json))
}

/// Deserializes a field, or none if it has another shape.
///
/// An unexpected detail must not hide the rest.
///
/// # Errors
///
/// The text is no JSON.
pub fn lenient<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    let text = <&RawValue>::deserialize(deserializer)?;
    Ok(read(text.get()).ok())
}

/// Text of a value.
#[derive(Clone, Copy)]
struct ValueText<'de>(&'de str);

impl<'de> ValueText<'de> {
    fn deserializer(self) -> serde_json::Deserializer<serde_json::de::StrRead<'de>> {
        serde_json::Deserializer::from_str(self.0)
    }
}

impl<'de> Deserializer<'de> for ValueText<'de> {
    type Error = Error;

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let found = self.deserializer().deserialize_map(Members(names))?;
        let members = names.iter().zip(found);
        let members = members.filter_map(|(name, found)| Some((*name, ValueText(found?.get()))));
        visitor.visit_map(MapDeserializer::new(members))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        if self.0.trim_ascii() == "null" {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserializer()
            .deserialize_newtype_struct(name, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.deserializer()
            .deserialize_enum(name, variants, visitor)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserializer().deserialize_any(visitor)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for ValueText<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Finds the members with these names.
#[derive(Clone, Copy)]
struct Members(&'static [&'static str]);

impl<'de> Visitor<'de> for Members {
    /// One value for each name.
    type Value = Vec<Option<&'de RawValue>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = vec![None; self.0.len()];
        while let Some(index) = members.next_key_seed(IndexOf(self.0))? {
            match index.and_then(|index| found.get_mut(index)) {
                Some(found) => *found = Some(members.next_value()?),
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(found)
    }
}

/// Returns the index of a name among these.
struct IndexOf(&'static [&'static str]);

impl<'de> DeserializeSeed<'de> for IndexOf {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IndexOf {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Example {
        some_text: String,
        #[serde(deserialize_with = "lenient")]
        number: Option<u16>,
        #[serde(deserialize_with = "lenient")]
        inner: Option<Box<Example>>,
        word: Option<Word>,
        list: Vec<String>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Word {
        Yes,
        No,
    }

    fn text(text: &str) -> Example {
        Example {
            some_text: text.to_owned(),
            ..Example::default()
        }
    }

    fn number(number: u16) -> Example {
        Example {
            number: Some(number),
            ..Example::default()
        }
    }

    #[rstest]
    #[case("{}", Example::default())]
    #[case(r#" { "someText" : "a" } "#, text("a"))]
    #[case::the_last_counts(r#"{"someText":1,"someText":"a","x":2,"someText":"b"}"#, text("b"))]
    #[case::a_name_with_escapes(r#"{"some\u0054ext":"\u0061"}"#, text("a"))]
    #[case::lenient(r#"{"number":1,"inner":3}"#, number(1))]
    #[case::the_last_counts_odd_or_not(r#"{"number":1,"number":"one"}"#, Example::default())]
    #[case::null(r#"{"number":null,"inner":null,"word":null}"#, Example::default())]
    #[case::too_large(r#"{"number":1e400}"#, Example::default())]
    #[case::within(
        r#"{"inner":{"number":1,"number":2,"inner":[]}}"#,
        Example { inner: Some(Box::new(number(2))), ..Example::default() }
    )]
    #[case::a_word(r#"{"word":"yes","word":"n\u006f"}"#, Example { word: Some(Word::No), ..Example::default() })]
    #[case::a_list(r#"{"list":["a","b"]}"#, Example { list: vec!["a".into(), "b".into()], ..Example::default() })]
    fn structs_are_deserialized_as_javascript_does(#[case] json: &str, #[case] expected: Example) {
        assert_eq!(read::<Example>(json).unwrap(), expected);
    }

    #[rstest]
    #[case("[]")]
    #[case("\"someText\"")]
    #[case("null")]
    #[case(r#"{"someText":null}"#)]
    #[case(r#"{"someText":[]}"#)]
    #[case(r#"{"word":"maybe"}"#)]
    #[case(r#"{"list":[1]}"#)]
    fn other_shapes_are_refused(#[case] json: &str) {
        assert!(read::<Example>(json).is_err());
    }

    #[test]
    fn skipped_members_may_have_any_depth() {
        let deep = r#"{"number":"#.repeat(100_000) + "1e400" + &"}".repeat(100_000);
        let json = format!(r#"{{"other":{deep},"number":{deep},"someText":"a"}}"#);
        assert_eq!(read::<Example>(&json).unwrap(), text("a"));
    }
}
