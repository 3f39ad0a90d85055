//! References to secrets in values: `${NAME}`.
//!
//! Messages contain no values that may be secrets, because messages are logged.

use crate::diagnostic::Code;
use crate::node::Value;
use crate::reader::Field;
use crate::report::Report;
use crate::value_schema::StringSchema;

const NAME_HINT: &str = "write a name of capital letters, digits and `_` that does not start with a digit";

pub(crate) const REFERENCE: StringSchema =
    StringSchema { what: "a reference such as `\"${NAME}\"`", pattern: r"^\$\{[A-Z_][A-Z0-9_]*\}$", longest: None };

/// Reads a reference to a secret of at least `least` bytes. Hints use the name `example`.
pub(crate) fn secret(field: Field<'_>, example: &str, least: usize) -> Option<String> {
    let name = field.read(|value| reference(value, example))?;
    field.read(|_| field.secrets().get(name, least))
}

/// Reads the value of a header and replaces each `${NAME}` by the secret.
pub(crate) fn header_value(field: Field<'_>) -> Option<String> {
    let Expansion { text, has_secret } = expand(field, "a string such as \"${ACCESS_ID}\"", "ACCESS_ID")?;
    field.read(|_| {
        if !text.is_empty() && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
            return Ok(text);
        }
        let hint = "use visible ASCII characters and spaces";
        if !has_secret {
            return Err(Report::new(Code::InvalidValue, "not a valid value of a header").hint(hint));
        }
        let report = Report::new(Code::InvalidSecret, "not a valid value of a header, with its secret");
        field.secrets().or_substitute(report.hint(format!("{hint}; set the secret again if it ends with a line break")))
    })
}

/// A string whose references are replaced.
pub(crate) struct Expansion {
    pub(crate) text: String,
    /// Whether it has a secret, so that it may not be shown.
    pub(crate) has_secret: bool,
}

/// Reads a string and replaces each `${NAME}` by the secret. `expected` completes "expected ...,
/// found a list". Hints use the name `example`.
pub(crate) fn expand(field: Field<'_>, expected: &str, example: &str) -> Option<Expansion> {
    let text = field.read(|value| match value {
        Value::String(text) => Ok(text),
        _ => Err(Report::wrong_type_redacted(expected, value).hint_at_quotes(value)),
    })?;
    let (mut expanded, mut has_secret) = (String::new(), false);
    let mut rest: &str = text;
    while let Some((before, after)) = rest.split_once("${") {
        let name = field.read(|_| match after.split_once('}') {
            Some((name, after)) if is_name(name) => Ok((name, after)),
            _ => {
                let message = format!("expected a reference such as `${{{example}}}`");
                Err(Report::new(Code::InvalidValue, message).hint(NAME_HINT))
            }
        });
        let (name, after) = name?;
        expanded += before;
        expanded += &field.read(|_| field.secrets().get(name, 1))?;
        has_secret = true;
        rest = after;
    }
    Some(Expansion { text: expanded + rest, has_secret })
}

fn reference<'a>(value: &'a Value<'_>, example: &str) -> Result<&'a str, Report> {
    let expected = format!("a reference to a secret such as `${{{example}}}`");
    match value {
        Value::String(text) => match text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if is_name(name) => Ok(name),
            Some(_) => {
                Err(Report::new(Code::InvalidValue, format!("expected {expected} and nothing else")).hint(NAME_HINT))
            }
            None => Err(literal(example)),
        },
        Value::Integer(_) | Value::OtherNumber(_) => Err(literal(example)),
        _ => Err(Report::wrong_type_redacted(&expected, value)),
    }
}

fn literal(example: &str) -> Report {
    let report = Report::new(Code::InlineSecret, "expected a reference to a secret, found a value in plain text");
    report.hint(format!("write `\"${{{example}}}\"` and set it with `npx wrangler secret put {example}`"))
}

fn is_name(name: &str) -> bool {
    let is_allowed = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_';
    name.bytes().all(is_allowed) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_differ_from_plain_values() {
        let table = [
            ("${KEY}", Ok("KEY")),
            ("${_K3Y_2}", Ok("_K3Y_2")),
            ("${}", Err(Code::InvalidValue)),
            ("${3KEY}", Err(Code::InvalidValue)),
            ("${key}", Err(Code::InvalidValue)),
            ("${A}${B}", Err(Code::InvalidValue)),
            ("${ A }", Err(Code::InvalidValue)),
            ("${KÄY}", Err(Code::InvalidValue)),
            ("", Err(Code::InlineSecret)),
            ("KEY", Err(Code::InlineSecret)),
            ("$KEY", Err(Code::InlineSecret)),
            ("{KEY}", Err(Code::InlineSecret)),
            ("x${KEY}", Err(Code::InlineSecret)),
            ("${KEY} ", Err(Code::InlineSecret)),
            ("${KEY", Err(Code::InlineSecret)),
        ];
        for (text, expected) in table {
            let value = Value::String(text.into());
            assert_eq!(reference(&value, "NAME").map_err(|report| report.code()), expected, "{text}");
        }
    }
}
