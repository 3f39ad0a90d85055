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
    /// Starts a line with the current time.
    pub(crate) fn new(format: LogFormat, level: &str, event: &str) -> Self {
        let time = humantime::format_rfc3339_millis(SystemTime::now());
        let mut text = String::with_capacity(256);
        // Writing to a string cannot fail.
        let _ = match format {
            LogFormat::Json => write!(text, r#"{{"ts":"{time}","level":"{level}","event":{}"#, quoted(event)),
            LogFormat::Text => write!(text, "{time} {:<5} {event}", level.to_uppercase()),
        };
        Self { text, format }
    }

    /// Adds a string.
    pub(crate) fn string(&mut self, name: &str, value: &str) {
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
        let plain = self.format == LogFormat::Text && !value.is_empty() && value.chars().all(is_plain);
        if plain { self.raw(name, value) } else { self.raw(name, &quoted(value)) }
    }

    /// Adds a number.
    pub(crate) fn number(&mut self, name: &str, value: u64) {
        self.raw(name, &value.to_string());
    }

    /// Adds a boolean.
    pub(crate) fn flag(&mut self, name: &str, value: bool) {
        self.raw(name, if value { "true" } else { "false" });
    }

    /// Returns the line without a line break.
    pub(crate) fn finish(mut self) -> String {
        if self.format == LogFormat::Json {
            self.text.push('}');
        }
        escape_invisible(self.text)
    }

    fn raw(&mut self, name: &str, value: &str) {
        let _ = match self.format {
            LogFormat::Json => write!(self.text, r#","{name}":{value}"#),
            LogFormat::Text => write!(self.text, " {name}={value}"),
        };
    }
}

/// Returns a JSON string.
fn quoted(value: &str) -> String {
    // Serialization of a string cannot fail.
    serde_json::to_string(value).unwrap_or_default()
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
