//! One line of the log, as JSON or as text.

use std::fmt::Write as _;
use std::time::SystemTime;

use tunnel_balancer_core::escape_invisible;

/// The format of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    #[default]
    Json,
    /// `TIME LEVEL EVENT NAME=VALUE ...`.
    Text,
}

/// A line under construction. Fields are written in the order of the calls.
#[derive(Debug)]
pub(crate) struct Line {
    text: String,
    format: LogFormat,
}

impl Line {
    /// Enough for a usual line of the access log.
    const CAPACITY: usize = 512;

    /// Starts a line with the current time.
    pub(crate) fn new(format: LogFormat, level: &str, event: &str) -> Self {
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let mut line = Self::part(format);
        // Writing to a string cannot fail.
        let _ = match format {
            LogFormat::Json => write!(line.text, r#"{{"ts":"{time}","level":"{level}","event":"#),
            LogFormat::Text => write!(line.text, "{time} {:<5} ", level.to_uppercase()),
        };
        match format {
            LogFormat::Json => line.quoted(event),
            LogFormat::Text => line.text += event,
        }
        line
    }

    /// Starts a part of a line, to [append](Self::append) it to one.
    pub(crate) fn part(format: LogFormat) -> Self {
        Self { text: String::with_capacity(Self::CAPACITY), format }
    }

    /// Adds the fields of a part.
    pub(crate) fn append(&mut self, part: &Self) {
        self.text += &part.text;
    }

    /// Adds a string.
    pub(crate) fn string(&mut self, name: &str, value: &str) {
        let is_plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'=' | b'\\');
        self.name(name);
        if self.format == LogFormat::Text && !value.is_empty() && value.bytes().all(is_plain) {
            self.text += value;
        } else {
            self.quoted(value);
        }
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        self.text += itoa::Buffer::new().format(value);
    }

    /// Adds a boolean.
    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.name(name);
        self.text += if value { "true" } else { "false" };
    }

    /// Returns the line without a line break.
    pub(crate) fn finish(mut self) -> String {
        if self.format == LogFormat::Json {
            self.text.push('}');
        }
        self.text
    }

    fn name(&mut self, name: &str) {
        let (before, after) = match self.format {
            LogFormat::Json => (",\"", "\":"),
            LogFormat::Text => (" ", "="),
        };
        [before, name, after].into_iter().for_each(|part| self.text += part);
    }

    /// Adds a JSON string without invisible characters. Most values are copied.
    fn quoted(&mut self, value: &str) {
        // Without a branch per byte.
        let is_escaped = |byte: u8| !(b' '..=b'~').contains(&byte) | (byte == b'"') | (byte == b'\\');
        if value.bytes().fold(false, |any, byte| any | is_escaped(byte)) {
            // Serialization of a string cannot fail.
            self.text += &escape_invisible(serde_json::to_string(value).unwrap_or_default());
        } else {
            ["\"", value, "\""].into_iter().for_each(|part| self.text += part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(format: LogFormat) -> String {
        let mut line = Line::new(format, "warn", "attempt_failed");
        line.string("server", "chat-a");
        line.string("detail", "a \"b\"\n\u{202e}");
        line.string("empty", "");
        line.number("attempt", 2);
        line.flag("last_resort", true);
        let line = line.finish();
        assert!(line.contains("T") && line.contains("Z"), "{line}");
        line
    }

    #[test]
    fn json_is_one_object_with_the_fields_in_order() {
        let line = line(LogFormat::Json);
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["ts"].as_str().unwrap().len(), "2026-01-01T00:00:00.000Z".len());
        assert_eq!(value["detail"], "a \"b\"\n\u{202e}");
        let rest = line.split_once(r#","level""#).unwrap().1;
        assert_eq!(
            rest,
            [
                r#":"warn","event":"attempt_failed","server":"chat-a","detail":"a \"b\"\n\u202e""#,
                r#","empty":"","attempt":2,"last_resort":true}"#
            ]
            .concat()
        );
    }

    #[test]
    fn text_quotes_values_only_if_necessary() {
        let line = line(LogFormat::Text);
        let rest = line.split_once(' ').unwrap().1;
        assert_eq!(
            rest,
            r#"WARN  attempt_failed server=chat-a detail="a \"b\"\n\u202e" empty="" attempt=2 last_resort=true"#
        );
    }
}
