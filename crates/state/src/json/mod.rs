//! JSON documents, read in two steps: text to a tree, and the tree to values.
//!
//! `serde_json` compiles a parser for each type. With the tree there is one parser, which makes a
//! Worker some ten kilobytes smaller.

mod object;

use std::fmt;
use std::vec::IntoIter;

use serde::de::{
    self, Deserialize, DeserializeOwned, DeserializeSeed, Deserializer, IntoDeserializer as _, MapAccess, SeqAccess,
    Visitor,
};

pub use self::object::Object;

/// Why a string is not the expected document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct JsonError(String);

/// Reads a document. The types may have maps, lists, strings, booleans, unsigned numbers and enums
/// without data. Unknown fields may have any value.
///
/// # Errors
/// If the text is not JSON, or does not fit the type.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, JsonError> {
    T::deserialize(parse(text)?)
}

/// Parses a string. Not generic, so there is one copy of the parser.
fn parse(text: &str) -> Result<Json, JsonError> {
    serde_json::from_str(text).map_err(|error| JsonError(error.to_string()))
}

/// A value of any type.
enum Json {
    Null,
    Bool(bool),
    Number(u64),
    /// A number that no document has.
    OtherNumber,
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Tree)
    }
}

/// Builds the tree.
struct Tree;

impl<'de> Visitor<'de> for Tree {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value))
    }

    fn visit_i64<E>(self, _: i64) -> Result<Json, E> {
        Ok(Json::OtherNumber)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Json, E> {
        Ok(Json::OtherNumber)
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::Text(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = access.next_element()? {
            list.push(value);
        }
        Ok(Json::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut object = Vec::new();
        while let Some(entry) = access.next_entry()? {
            object.push(entry);
        }
        Ok(Json::Object(object))
    }
}

/// Each function is compiled once, so that the generic ones below are short.
impl Json {
    fn boolean(self) -> Result<bool, JsonError> {
        if let Self::Bool(value) = self { Ok(value) } else { self.mismatch("a boolean") }
    }

    fn number(self) -> Result<u64, JsonError> {
        if let Self::Number(value) = self { Ok(value) } else { self.mismatch("an unsigned integer") }
    }

    fn text(self) -> Result<String, JsonError> {
        if let Self::Text(value) = self { Ok(value) } else { self.mismatch("a string") }
    }

    fn list(self) -> Result<Elements, JsonError> {
        if let Self::List(list) = self { Ok(Elements(list.into_iter())) } else { self.mismatch("a list") }
    }

    fn object(self) -> Result<Entries, JsonError> {
        let Self::Object(object) = self else { return self.mismatch("an object") };
        Ok(Entries { rest: object.into_iter(), value: Self::Null })
    }

    /// Returns the error for a value of another type than `expected`.
    fn mismatch<T>(&self, expected: &str) -> Result<T, JsonError> {
        let found = match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) | Self::OtherNumber => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        };
        Err(JsonError(format!("expected {expected}, found {found}")))
    }
}

/// Each method calls the one function of the visitor for its type, so that no other is compiled.
impl<'de> Deserializer<'de> for Json {
    type Error = JsonError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self {
            Self::Null => visitor.visit_unit(),
            Self::Bool(value) => visitor.visit_bool(value),
            Self::Number(value) => visitor.visit_u64(value),
            Self::OtherNumber => self.mismatch("an unsigned integer"),
            Self::Text(value) => visitor.visit_string(value),
            Self::List(_) => visitor.visit_seq(self.list()?),
            Self::Object(_) => visitor.visit_map(self.object()?),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_bool(self.boolean()?)
    }

    fn deserialize_u64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_u32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_u64(self.number()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        visitor.visit_enum(self.text()?.into_deserializer())
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        match self {
            Self::Null => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_seq(self.list()?)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_seq(self.list()?)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_map(self.object()?)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, JsonError> {
        visitor.visit_map(self.object()?)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, JsonError> {
        visitor.visit_unit()
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i64 i128 u8 u16 u128 f32 f64 char bytes byte_buf unit unit_struct tuple_struct
    }
}

/// The rest of a list.
struct Elements(IntoIter<Json>);

impl<'de> SeqAccess<'de> for Elements {
    type Error = JsonError;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, JsonError> {
        self.0.next().map(|value| seed.deserialize(value)).transpose()
    }
}

/// The rest of an object.
struct Entries {
    rest: IntoIter<(String, Json)>,
    /// The value of the last key.
    value: Json,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = JsonError;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>, JsonError> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        self.value = value;
        seed.deserialize(Json::Text(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, JsonError> {
        seed.deserialize(std::mem::replace(&mut self.value, Json::Null))
    }
}

impl de::Error for JsonError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    use super::*;
    use crate::{MonitorRecord, SharedState};

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Document {
        number: u32,
        flag: bool,
        text: Option<String>,
        list: Vec<(u64, String)>,
        kind: Kind,
    }

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        #[default]
        First,
        SecondOne,
    }

    fn error(text: &str) -> String {
        from_str::<Document>(text).unwrap_err().to_string()
    }

    #[test]
    fn documents_are_read_as_they_were_written() {
        let document = Document {
            number: u32::MAX,
            flag: true,
            text: Some("a \"b\" \u{e9}\n".to_owned()),
            list: vec![(u64::MAX, String::new()), (0, "x".to_owned())],
            kind: Kind::SecondOne,
        };
        assert_eq!(from_str::<Document>(&serde_json::to_string(&document).unwrap()), Ok(document));
        assert_eq!(from_str::<Document>("{}"), Ok(Document::default()));
        assert_eq!(from_str::<Document>(r#"{ "text": null }"#), Ok(Document::default()));
        assert_eq!(from_str("{}"), Ok(SharedState::default()));
        let record = serde_json::to_string(&MonitorRecord::default()).unwrap();
        assert_eq!(from_str(&record), Ok(MonitorRecord::default()));
    }

    #[test]
    fn unknown_fields_may_have_any_value() {
        let text = r#"{ "a": [-1, 1.5, 1e40, { "b": null }], "number": 7, "c": -2.5e-3 }"#;
        assert_eq!(from_str(text), Ok(Document { number: 7, ..Document::default() }));
    }

    #[test]
    fn errors_name_both_types() {
        assert_eq!(error("[]"), "expected an object, found a list");
        assert_eq!(error(r#"{ "number": "7" }"#), "expected an unsigned integer, found a string");
        assert_eq!(error(r#"{ "number": -7 }"#), "expected an unsigned integer, found a number");
        assert_eq!(error(r#"{ "flag": 1 }"#), "expected a boolean, found a number");
        assert_eq!(error(r#"{ "text": {} }"#), "expected a string, found an object");
        assert_eq!(error(r#"{ "list": true }"#), "expected a list, found a boolean");
        assert_eq!(error(r#"{ "kind": null }"#), "expected a string, found null");
        assert_eq!(error(r#"{ "kind": "third" }"#), "unknown variant `third`, expected `first` or `second_one`");
        assert_eq!(error(r#"{ "number": 4294967296 }"#), "invalid value: integer `4294967296`, expected u32");
        assert_eq!(error(r#"{ "flag": true, "flag": true }"#), "duplicate field `flag`");
        assert_eq!(error("{"), "EOF while parsing an object at line 1 column 1");
    }
}
