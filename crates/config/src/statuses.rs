//! Lists of statuses: `200`, `200-299`, `[200, 301-308]`.

use std::ops::RangeInclusive;

use tunnel_balancer_core::{StatusRanges, limits};

use crate::diagnostic::Code;
use crate::node::Value;
use crate::reader::Field;
use crate::report::Report;

const EXPECTED: &str = "a status or a range of them such as `200-299`";

/// Reads a status, a range, or a list of them.
pub(crate) fn statuses(field: Field<'_>, allowed: &RangeInclusive<u16>) -> Option<StatusRanges> {
    let read = |item: Field<'_>| item.read(|value| status_range(value, allowed));
    let ranges: Vec<Option<(u16, u16)>> = field.one_or_many().into_iter().map(read).collect();
    ranges.into_iter().collect::<Option<Vec<_>>>().map(StatusRanges)
}

/// Reads a status or a range of statuses.
fn status_range(value: &Value<'_>, allowed: &RangeInclusive<u16>) -> Result<(u16, u16), Report> {
    let (first, last) = match value {
        Value::Integer(status) => {
            let status = u16::try_from(*status).unwrap_or(u16::MAX);
            (status, status)
        }
        Value::String(text) => parse(text).ok_or_else(|| {
            let report = Report::new(Code::InvalidValue, format!("expected {EXPECTED}, found {value}"));
            report.hint(hint(text, allowed))
        })?,
        _ => return Err(Report::wrong_type(EXPECTED, value)),
    };
    if allowed.contains(&first) && allowed.contains(&last) && first <= last {
        return Ok((first, last));
    }
    let (least, most) = (allowed.start(), allowed.end());
    let report = Report::new(Code::OutOfRange, format!("expected statuses from {least} to {most}, found {value}"));
    Err(if first > last {
        report.hint(format!("write the lower status first: `{last}-{first}`"))
    } else if first < *least && limits::STATUS.contains(&first) {
        report.hint(format!("remove statuses below {least}: requests with such responses must not be repeated"))
    } else {
        report
    })
}

fn parse(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    Some((status(first)?, status(last)?))
}

fn hint(text: &str, allowed: &RangeInclusive<u16>) -> String {
    let parts: Vec<&str> = text.split([',', ' ']).filter(|part| !part.is_empty()).collect();
    if parts.len() > 1 && parts.iter().all(|part| parse(part).is_some()) {
        return format!("write a list: `[{}]`", parts.join(", "));
    }
    let class = text.to_ascii_lowercase().strip_suffix("xx").and_then(|digit| digit.parse::<u16>().ok());
    let (first, last) = text.split_once('-').unwrap_or((text, ""));
    match (class.filter(|class| allowed.contains(&class.saturating_mul(100))), status(first), status(last)) {
        (Some(class), _, _) => format!("write `{class}00-{class}99`"),
        (None, Some(first), _) if last.is_empty() && allowed.contains(&first) => {
            format!("write `{first}-{}`", allowed.end())
        }
        (None, None, Some(last)) if first.is_empty() && allowed.contains(&last) => {
            format!("write `{}-{last}`", allowed.start())
        }
        _ => {
            let example = if allowed.contains(&200) { 200 } else { 500 };
            format!("write a status or a range: `{example}`, `{example}-{}`", example + 99)
        }
    }
}

fn status(text: &str) -> Option<u16> {
    let text = text.trim();
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().unwrap_or(u16::MAX)).filter(|_| !text.is_empty())
}

/// Formats a range of statuses.
pub(crate) fn format_statuses(first: u16, last: u16) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
