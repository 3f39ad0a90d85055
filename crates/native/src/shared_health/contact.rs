//! Whether the other side responds, for the log.

use tunnel_balancer_core::{LogEntry, LogEvent, LogLevel, Timestamp};

use super::client::Failure;
use crate::log;

/// Whether the other side responds, for the log.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Contact {
    /// `None` before the first message.
    is_reachable: Option<bool>,
    lost_at: Option<Timestamp>,
}

impl Contact {
    /// Logs the result of a message if it differs from the one before.
    pub(super) fn record(&mut self, failure: Option<&Failure>, name: &str, now: Timestamp) {
        if self.is_reachable.replace(failure.is_none()) == Some(failure.is_none()) {
            return;
        }
        match failure {
            Some(failure) => {
                self.lost_at = Some(now);
                let entry = LogEntry::new(LogLevel::Warn, LogEvent::MonitorUnreachable);
                log::emit(&LogEntry { detail: Some(failure.detail().to_owned()), source: Some(name), ..entry });
            }
            None => {
                let duration = self.lost_at.take().map(|lost_at| now.since(lost_at));
                let entry = LogEntry::new(LogLevel::Info, LogEvent::MonitorReachable);
                log::emit(&LogEntry { duration, source: Some(name), ..entry });
            }
        }
    }
}
