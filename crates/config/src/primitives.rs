//! Readers of strings, words, booleans and numbers.

use std::ops::RangeInclusive;

use crate::diagnostic::Code;
use crate::node::{Value, backticked};
use crate::report::Report;
use crate::{renamed, suggest};

/// Reads a string. `expected` completes "expected ..., found a list".
pub(crate) fn string<'a>(value: &'a Value<'a>, expected: &str) -> Result<&'a str, Report> {
    match value {
        Value::String(string) => Ok(string),
        _ => Err(Report::wrong_type(expected, value)),
    }
}

/// Reads a string for which YAML may need quotes, such as a name that is a number.
pub(crate) fn quotable_string<'a>(value: &'a Value<'a>, expected: &str) -> Result<&'a str, Report> {
    string(value, expected).map_err(|report| report.hint_at_quotes(value))
}

/// Reads one of the words of a table. `expected` lists all allowed values.
pub(crate) fn one_of<T: Clone>(
    value: &Value<'_>,
    what: &str,
    expected: &str,
    words: &[(&str, T)],
) -> Result<T, Report> {
    let found = string(value, expected)?;
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == found) {
        return Ok(meaning.clone());
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let similar = || suggest::nearest(found, &known).map(|similar| format!("did you mean `{similar}`?"));
    let hint = renamed::hint(found, &known).or_else(similar).unwrap_or_else(|| format!("expected {expected}"));
    Err(Report::new(Code::InvalidValue, format!("unknown {what} {}", backticked(found))).hint(hint))
}

/// Reads `false` as `None`, and other values with `read`.
pub(crate) fn or_disabled<'a, T>(
    value: &'a Value<'a>,
    read: impl FnOnce(&'a Value<'a>) -> Result<T, Report>,
) -> Result<Option<T>, Report> {
    match value {
        Value::Bool(false) => Ok(None),
        _ => read(value).map(Some).map_err(|report| report.default_hint("`false` disables it")),
    }
}

/// Reads `true` or `false`.
pub(crate) fn boolean(value: &Value<'_>) -> Result<bool, Report> {
    let report = || Report::wrong_type("`true` or `false`", value);
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(word) => Err(match word.to_ascii_lowercase().as_str() {
            "yes" | "on" | "true" => report().hint("write `true`, without quotes"),
            "no" | "off" | "false" => report().hint("write `false`, without quotes"),
            _ => report(),
        }),
        _ => Err(report()),
    }
}

/// Reads a whole number within `range`.
pub(crate) fn number(value: &Value<'_>, range: RangeInclusive<u32>) -> Result<u32, Report> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    match value {
        Value::Integer(found) => u32::try_from(*found)
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| Report::new(Code::OutOfRange, format!("expected {expected}, found {found}"))),
        Value::String(number) if number.starts_with('0') && number.len() > 1 && number.parse::<u32>().is_ok() => {
            Err(Report::wrong_type(&expected, value).hint("write the number without leading zeros and quotes"))
        }
        Value::String(number) if number.parse::<u32>().is_ok() => {
            Err(Report::wrong_type(&expected, value).hint("write the number without quotes"))
        }
        _ => Err(Report::wrong_type(&expected, value)),
    }
}

/// Reads a percentage: a number without `%`.
pub(crate) fn percent(value: &Value<'_>, range: RangeInclusive<u32>) -> Result<u32, Report> {
    number(value, range).map_err(|report| match value {
        Value::String(number) if number.ends_with('%') => report.hint("write the number alone, without `%`"),
        _ => report,
    })
}
