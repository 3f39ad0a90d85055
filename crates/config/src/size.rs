//! Sizes: `64KiB`, `1MiB`, or a number of bytes.

use std::ops::RangeInclusive;

use crate::diagnostic::Code;
use crate::node::{Value, quoted};
use crate::report::Report;

pub(crate) const UNITS: [(&str, u64); 3] = [("B", 1), ("KiB", 1 << 10), ("MiB", 1 << 20)];
const EXPECTED: &str = "a size such as \"64KiB\"";

/// Reads a number of bytes within `range`.
pub(crate) fn size(value: &Value<'_>, range: RangeInclusive<u64>) -> Result<u64, Report> {
    let bytes = match value {
        Value::Integer(bytes) => *bytes,
        Value::String(text) => parse(text).ok_or_else(|| {
            let report = Report::new(Code::InvalidValue, format!("expected {EXPECTED}, found {}", quoted(text)));
            report.hint("write a whole number with `KiB` or `MiB`, or a number of bytes")
        })?,
        _ => return Err(Report::wrong_type(EXPECTED, value)),
    };
    if range.contains(&bytes) {
        return Ok(bytes);
    }
    let (least, most) = (format_size(*range.start()), format_size(*range.end()));
    Err(Report::new(Code::OutOfRange, format!("expected {least} to {most}, found {}", format_size(bytes))))
}

/// Parses a number of bytes: `64KiB`, `1MiB` or `65536`.
pub fn parse(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let bytes = if unit.is_empty() { 1 } else { UNITS.iter().find(|(name, _)| *name == unit)?.1 };
    number.parse::<u64>().ok()?.checked_mul(bytes)
}

pub(crate) fn format_size(bytes: u64) -> String {
    for (unit, size) in [("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    format!("{bytes}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_parsed_and_formatted() {
        let table = [
            ("0", Some(0)),
            ("65536", Some(65_536)),
            ("64KiB", Some(65_536)),
            ("1MiB", Some(1_048_576)),
            ("10B", Some(10)),
            ("", None),
            ("KiB", None),
            ("64KB", None),
            ("64k", None),
            ("64 KiB", None),
            ("1.5MiB", None),
            ("-1", None),
            ("99999999999999999999MiB", None),
        ];
        for (text, bytes) in table {
            assert_eq!(parse(text), bytes, "{text}");
        }
        let table = [(0, "0"), (1, "1"), (65_536, "64KiB"), (1_048_576, "1MiB"), (1_048_577, "1048577")];
        for (bytes, text) in table {
            assert_eq!(format_size(bytes), text);
        }
    }
}
