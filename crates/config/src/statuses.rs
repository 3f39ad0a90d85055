//! Lists of statuses: `200`, `200-299`, `[200, 301-308]`.

use std::ops::RangeInclusive;

use tunnel_balancer_core::StatusRanges;

use crate::diagnostic::Code;
use crate::node::Value;
use crate::reader::Field;
use crate::report::Report;

/// The statuses there are.
pub(crate) const ANY: RangeInclusive<u16> = 100..=599;

const EXPECTED: &str = "a status or a range of them such as `200-299`";

/// One status, a range, or a list of such, each as `read` understands it.
pub(crate) fn statuses(
    field: Field<'_>,
    read: impl Fn(&Value<'_>) -> Result<(u16, u16), Report>,
) -> Option<StatusRanges> {
    let ranges: Vec<Option<(u16, u16)>> = field.one_or_many().into_iter().map(|item| item.read(&read)).collect();
    ranges.into_iter().collect::<Option<Vec<_>>>().map(StatusRanges)
}

/// Any status.
pub(crate) fn status_range(value: &Value<'_>) -> Result<(u16, u16), Report> {
    let report = |code| {
        let report = Report::new(code, format!("expected {EXPECTED}, found {value}"));
        report.hint(hint(value))
    };
    let (first, last) = match value {
        Value::Integer(status) => (u16::try_from(*status).ok(), u16::try_from(*status).ok()),
        Value::String(text) => {
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            (status(first), status(last))
        }
        _ => return Err(Report::wrong_type(EXPECTED, value)),
    };
    let (Some(first), Some(last)) = (first, last) else { return Err(report(Code::InvalidValue)) };
    if !ANY.contains(&first) || !ANY.contains(&last) || first > last {
        return Err(report(Code::OutOfRange));
    }
    Ok((first, last))
}

fn hint(value: &Value<'_>) -> String {
    let class = match value {
        Value::String(text) => text.strip_suffix("xx").filter(|digit| matches!(digit.as_bytes(), [b'1'..=b'5'])),
        _ => None,
    };
    match class {
        Some(digit) => format!("write `{digit}00-{digit}99`"),
        None => "statuses go from 100 to 599, the lower one first".to_owned(),
    }
}

fn status(text: &str) -> Option<u16> {
    let text = text.trim();
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The first statuses that both lists cover, as they would be written.
pub(crate) fn overlap(one: &StatusRanges, other: &StatusRanges) -> Option<String> {
    let pairs = one.0.iter().flat_map(|a| other.0.iter().map(move |b| (a.0.max(b.0), a.1.min(b.1))));
    pairs
        .filter(|(first, last)| first <= last)
        .min()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
}
