//! The log entry and the notice of a change.

use std::time::Duration;

use tunnel_balancer_core::{LogEntry, LogEvent, LogLevel};

use super::change::Override;
use crate::notify::{Notice, format_duration};

impl Override {
    /// Returns the entry of the log for it: [`LogEvent::ControlChanged`] or
    /// [`LogEvent::ControlExpired`].
    pub fn log_entry(&self, event: LogEvent) -> LogEntry<'_> {
        LogEntry {
            service: Some(self.service.clone()),
            server: self.server.as_deref(),
            detail: Some(format!("{}{}", self.describe(), self.comment())),
            duration: self.duration_ms().map(Duration::from_millis),
            source: Some(&self.origin),
            ..LogEntry::new(LogLevel::Info, event)
        }
    }

    /// Returns the notice of it, or of its end by its duration.
    pub fn notice(&self, has_expired: bool) -> Notice {
        let time = match self.duration_ms() {
            _ if has_expired => " ended".to_owned(),
            Some(millis) => format!(" for {}", format_duration(millis)),
            None => String::new(),
        };
        let detail = format!("{}{time} by {}{}", self.describe(), self.origin, self.comment());
        let at = self.until.filter(|_| has_expired).unwrap_or(self.since);
        Notice::control(&self.service, self.server.as_deref(), detail, at)
    }

    fn duration_ms(&self) -> Option<u64> {
        self.until.map(|until| until.saturating_sub(self.since))
    }

    fn comment(&self) -> String {
        self.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default()
    }
}
