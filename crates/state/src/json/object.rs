//! Writing JSON objects field by field, without a type for each.

use std::fmt::Write as _;

use serde::Serialize;

/// An object under construction, with its fields in the order of the calls.
#[derive(Clone, Debug, Default)]
pub struct Object {
    fields: String,
}

impl Object {
    /// Begins with the fields of a value, which must be a struct.
    pub fn of(value: &impl Serialize) -> Self {
        Self::of_json(&serde_json::to_string(value).unwrap_or_default())
    }

    /// Begins with the fields of an object that is JSON.
    pub fn of_json(json: &str) -> Self {
        let fields = json.strip_prefix('{').and_then(|json| json.strip_suffix('}')).unwrap_or_default();
        Self { fields: fields.to_owned() }
    }

    /// Adds a string.
    #[must_use]
    pub fn text(mut self, name: &str, value: &str) -> Self {
        self.name(name);
        quote(&mut self.fields, value);
        self
    }

    /// Adds a string, if there is one.
    #[must_use]
    pub fn optional_text(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self,
        }
    }

    /// Adds a string or `null`.
    #[must_use]
    pub fn nullable_text(self, name: &str, value: Option<&str>) -> Self {
        match value {
            Some(value) => self.text(name, value),
            None => self.json(name, "null"),
        }
    }

    /// Adds a number.
    #[must_use]
    pub fn number(mut self, name: &str, value: u64) -> Self {
        self.name(name);
        // Writing to a string does not fail.
        let _ = write!(self.fields, "{value}");
        self
    }

    /// Adds a number, if there is one.
    #[must_use]
    pub fn optional_number(self, name: &str, value: Option<u64>) -> Self {
        match value {
            Some(value) => self.number(name, value),
            None => self,
        }
    }

    /// Adds a boolean.
    #[must_use]
    pub fn flag(self, name: &str, value: bool) -> Self {
        self.json(name, if value { "true" } else { "false" })
    }

    /// Adds a list of strings.
    #[must_use]
    pub fn list(self, name: &str, values: &[&str]) -> Self {
        self.values(name, values.iter(), |json, value| quote(json, value))
    }

    /// Adds a list of objects.
    #[must_use]
    pub fn objects(self, name: &str, values: impl Iterator<Item = Self>) -> Self {
        self.values(name, values, |json, value| value.write(json))
    }

    /// Adds an object.
    #[must_use]
    pub fn object(mut self, name: &str, value: Self) -> Self {
        self.name(name);
        value.write(&mut self.fields);
        self
    }

    /// Adds a value that is JSON.
    #[must_use]
    pub fn json(mut self, name: &str, json: &str) -> Self {
        self.name(name);
        self.fields.push_str(json);
        self
    }

    /// Returns the text.
    pub fn finish(self) -> String {
        let mut json = String::with_capacity(self.fields.len() + 2);
        self.write(&mut json);
        json
    }

    fn values<T>(mut self, name: &str, values: impl Iterator<Item = T>, write: impl Fn(&mut String, T)) -> Self {
        self.name(name);
        self.fields.push('[');
        for (index, value) in values.enumerate() {
            self.fields.push_str(if index > 0 { "," } else { "" });
            write(&mut self.fields, value);
        }
        self.fields.push(']');
        self
    }

    fn write(&self, json: &mut String) {
        json.push('{');
        json.push_str(&self.fields);
        json.push('}');
    }

    fn name(&mut self, name: &str) {
        self.fields.push_str(if self.fields.is_empty() { "" } else { "," });
        quote(&mut self.fields, name);
        self.fields.push(':');
    }
}

/// Adds a string as JSON.
fn quote(json: &mut String, text: &str) {
    json.push('"');
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\') {
        let (plain, special) = rest.split_at(at);
        let mut after = special.chars();
        json.push_str(plain);
        match after.next().unwrap_or_default() {
            c @ ('"' | '\\') => json.extend(['\\', c]),
            c => _ = write!(json, "\\u{:04x}", u32::from(c)),
        }
        rest = after.as_str();
    }
    json.push_str(rest);
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SharedState;

    #[derive(Serialize)]
    struct Record {
        number: u32,
        text: Option<String>,
    }

    #[test]
    fn strings_are_escaped() {
        for text in ["", "plain", "a \"b\" \\ \u{e9}\u{1f600}", "\0\n\t\u{1f}\u{7f}", "\"", "x\\"] {
            let mut json = String::new();
            quote(&mut json, text);
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text, "{json}");
        }
    }

    #[test]
    fn objects_are_json() {
        let inner = Object::default().list("none", &[]).flag("no", false);
        let object = Object::default().text("a \"b\"", "c\nd").optional_text("e", None).optional_text("f", Some("g"));
        let object = object
            .number("n", u64::MAX)
            .optional_number("m", None)
            .json("r", "[1]")
            .list("l", &["x", "\\y"])
            .flag("yes", true)
            .object("o", inner);
        let expected = serde_json::json!({
            "a \"b\"": "c\nd",
            "f": "g",
            "n": u64::MAX,
            "r": [1],
            "l": ["x", "\\y"],
            "yes": true,
            "o": { "none": [], "no": false },
        });
        assert_eq!(serde_json::from_str::<serde_json::Value>(&object.finish()).unwrap(), expected);
        assert_eq!(Object::default().finish(), "{}");
        let (first, second) =
            (Object::of(&Record { number: 0, text: None }).number("more", 1), Object::of(&SharedState::default()));
        let expected = r#"{"number":0,"text":null,"more":1}"#;
        let list = Object::default().objects("o", [first, second].into_iter()).finish();
        assert!(
            list.starts_with(&format!(r#"{{"o":[{expected},{{"written_at":0,"#)) && list.ends_with("}]}"),
            "{list}"
        );
    }
}
