//! Durations: `500ms`, `30s`, `5m`, `1h30m`.
//!
//! A bare number is an error, because its unit differs from tool to tool.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::diagnostic::Code;
use crate::node::{Value, quoted};
use crate::report::Report;

/// The units in milliseconds, in the order in which they must be written.
pub(crate) const UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const EXPECTED: &str = "a duration such as \"30s\"";
const UNITS_HINT: &str = "write whole numbers with the units h, m, s and ms: `1h30m`, `30s`, `500ms`";

/// Reads a duration within `range`.
pub(crate) fn duration(value: &Value<'_>, range: RangeInclusive<Duration>) -> Result<Duration, Report> {
    let text = match value {
        Value::String(text) => text,
        Value::Integer(number) => return Err(without_unit(*number, Report::wrong_type(EXPECTED, value), &range)),
        Value::OtherNumber(_) => return Err(Report::wrong_type(EXPECTED, value).hint(UNITS_HINT)),
        _ => return Err(Report::wrong_type(EXPECTED, value)),
    };
    let Some(duration) = parse(text) else {
        let report = Report::new(Code::InvalidValue, format!("expected {EXPECTED}, found {}", quoted(text)));
        let tidied = text.to_ascii_lowercase().replace(' ', "");
        return Err(match (parse(&tidied), tidied.parse()) {
            (Some(_), _) => report.hint(format!("write `{tidied}`")),
            (None, Ok(number)) => without_unit(number, report, &range),
            (None, Err(_)) => report.hint(UNITS_HINT),
        });
    };
    if range.contains(&duration) {
        return Ok(duration);
    }
    let (least, most) = (format_duration(*range.start()), format_duration(*range.end()));
    Err(Report::new(Code::OutOfRange, format!("expected {least} to {most}, found {}", quoted(text))))
}

/// Adds the hint for a number without a unit: seconds, and milliseconds if it is large.
fn without_unit(number: u64, report: Report, range: &RangeInclusive<Duration>) -> Report {
    /// Smaller numbers are seldom milliseconds.
    const MILLISECONDS: u64 = 100;
    let valid = |duration: Duration| range.contains(&duration).then(|| format_duration(duration));
    let seconds = valid(Duration::from_secs(number));
    match (seconds, valid(Duration::from_millis(number)).filter(|_| number >= MILLISECONDS)) {
        (None, None) if number == 0 => report.hint(format!("write {} or more", format_duration(*range.start()))),
        (None, None) => report,
        (Some(seconds), None) => report.hint(format!("add a unit: write `{seconds}`")),
        (None, Some(millis)) => report.hint(format!("add a unit: write `{millis}` if milliseconds were meant")),
        (Some(seconds), Some(millis)) => report.hint(format!(
            "add a unit: write `{millis}` if milliseconds were meant, or `{seconds}` for {number} seconds"
        )),
    }
}

/// Formats a duration as it is written in a file.
pub fn format_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    for (unit, millis) in UNITS {
        if rest >= millis {
            text.push_str(&format!("{}{unit}", rest / millis));
            rest %= millis;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// Parses a duration: whole numbers with units, the larger unit first, each at most once.
pub fn parse(text: &str) -> Option<Duration> {
    let mut units = UNITS.iter();
    let mut rest = text;
    let mut total = 0_u64;
    loop {
        let (number, after) = rest.split_at_checked(rest.find(|c: char| !c.is_ascii_digit())?)?;
        let unit_end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit_end)?;
        let (_, millis) = units.find(|(name, _)| *name == unit)?;
        if number.is_empty() {
            return None;
        }
        let number = number.parse().unwrap_or(u64::MAX);
        total = total.saturating_add(millis.saturating_mul(number));
        rest = after;
        if rest.is_empty() {
            return Some(Duration::from_millis(total));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_parsed() {
        let table = [
            ("500ms", Some(500)),
            ("30s", Some(30_000)),
            ("5m", Some(300_000)),
            ("1h", Some(3_600_000)),
            ("1h30m", Some(5_400_000)),
            ("1h1m1s1ms", Some(3_661_001)),
            ("90s", Some(90_000)),
            ("0s", Some(0)),
            ("99999999999999999999h", Some(u64::MAX)),
            ("", None),
            ("30", None),
            ("s", None),
            ("s30", None),
            ("30 s", None),
            ("30S", None),
            ("1.5s", None),
            ("-1s", None),
            ("1s1s", None),
            ("30m1h", None),
            ("30sec", None),
            ("30s ", None),
            ("٣s", None),
        ];
        for (text, millis) in table {
            assert_eq!(parse(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn formatted_durations_are_parsed_back() {
        for text in ["500ms", "30s", "5m", "1h", "1h30m", "1m500ms", "24h", "0s"] {
            assert_eq!(parse(text).map(format_duration).as_deref(), Some(text));
        }
    }
}
