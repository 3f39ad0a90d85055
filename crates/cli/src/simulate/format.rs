//! Times and numbers for output.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// Returns whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Serializes whole milliseconds.
pub(super) fn serialize_millis<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(millis(*duration))
}

/// Serializes whole milliseconds, or `null`.
pub(super) fn serialize_optional_millis<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(millis).serialize(serializer)
}

/// Returns a time of the run: `1:02.345`.
pub(super) fn clock(at: Duration) -> String {
    let millis = millis(at);
    format!("{}:{:02}.{:03}", millis / 60_000, millis / 1000 % 60, millis % 1000)
}

/// Returns a measured duration: `41 ms`, `3.1 s`, `2m 05 s`.
pub(super) fn took(duration: Duration) -> String {
    match millis(duration) {
        millis @ 0..1000 => format!("{millis} ms"),
        millis @ 1000..60_000 => format!("{:.1} s", millis as f64 / 1e3),
        millis => format!("{}m {:02} s", millis / 60_000, millis / 1000 % 60),
    }
}

/// Returns a number with separators: `12,345`.
pub(super) fn number(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a share: `7.1 %`. It is `0.0 %` only for none, and `100.0 %` only for all.
pub(super) fn percent(part: usize, whole: usize) -> String {
    let percent = 100.0 * part as f64 / whole.max(1) as f64;
    match percent {
        _ if part > 0 && percent < 0.1 => "< 0.1 %".to_owned(),
        _ if part < whole && percent >= 99.95 => "> 99.9 %".to_owned(),
        percent => format!("{percent:.1} %"),
    }
}

/// Returns `1 request`, `2 requests`.
pub(super) fn count(number: usize, noun: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{} {noun}{s}", self::number(number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_are_formatted() {
        let ms = Duration::from_millis;
        assert_eq!(
            [0, 999, 62_345, 3_600_000].map(|at| clock(ms(at))),
            ["0:00.000", "0:00.999", "1:02.345", "60:00.000"]
        );
        assert_eq!([41, 3_149, 125_000].map(|it| took(ms(it))), ["41 ms", "3.1 s", "2m 05 s"]);
        assert_eq!([7, 999, 1_000, 1_234_567].map(number), ["7", "999", "1,000", "1,234,567"]);
        let shares = [(0, 9), (1, 9_999), (1, 14), (9_998, 9_999), (9, 9)].map(|(part, whole)| percent(part, whole));
        assert_eq!(shares, ["0.0 %", "< 0.1 %", "7.1 %", "> 99.9 %", "100.0 %"]);
    }
}
