//! The results of deliveries, and their entries in the log.

use std::time::Duration;

use tunnel_balancer_core::{LogEntry, LogEvent, LogLevel, Reason};

use super::render::Delivery;

/// Why a delivery failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeliveryError {
    /// The reason code.
    pub reason: Reason,
    /// The status, if there was a response.
    pub status: Option<u16>,
    /// The cause for people. It must not have the URL, which may be a secret.
    pub detail: Option<String>,
    /// The wait that the response requests, in milliseconds.
    pub retry_after: Option<u64>,
}

impl DeliveryError {
    /// Creates the error of a delivery without a response.
    pub const fn new(reason: Reason) -> Self {
        Self { reason, status: None, detail: None, retry_after: None }
    }

    /// Adds the cause for people.
    pub fn with_detail(self, detail: Option<String>) -> Self {
        Self { detail, ..self }
    }

    /// Returns the result of a response with this status and this `Retry-After` header.
    ///
    /// # Errors
    /// If the status is none of success. A redirect is an error.
    pub fn check(status: u16, retry_after: Option<&str>) -> Result<(), Self> {
        if (200..300).contains(&status) {
            return Ok(());
        }
        // Dates are not supported. The services send seconds, and some of them fractions.
        let seconds = retry_after.and_then(|text| text.trim().split('.').next()?.parse::<u64>().ok());
        let retry_after = seconds.map(|seconds| seconds.saturating_add(1).saturating_mul(1000));
        Err(Self { status: Some(status), retry_after, ..Self::new(Reason::Status) })
    }

    /// Returns whether the message can never be delivered.
    pub(super) const fn is_final(&self) -> bool {
        matches!(self.status, Some(400 | 413 | 414 | 415 | 422)) || matches!(self.reason, Reason::InvalidRequest)
    }
}

/// What a result has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryOutcome {
    /// The notice or heartbeat arrived.
    Delivered,
    /// It failed and is sent again after this time in milliseconds.
    Retried {
        /// The failures in a row of the target.
        failures: u32,
        /// The wait.
        wait: u64,
    },
    /// It failed and is dropped.
    Dropped,
}

impl DeliveryOutcome {
    /// Returns the entry of the log: `notification_sent` or `notification_failed`.
    pub fn log_entry(&self, delivery: &Delivery, error: Option<&DeliveryError>) -> LogEntry<'static> {
        let (level, event) = match self {
            Self::Delivered => (LogLevel::Debug, LogEvent::NotificationSent),
            Self::Retried { .. } | Self::Dropped => (LogLevel::Warn, LogEvent::NotificationFailed),
        };
        let wait = match self {
            Self::Retried { wait, .. } => Some(Duration::from_millis(*wait)),
            Self::Delivered | Self::Dropped => None,
        };
        let cause = error.and_then(|error| error.detail.as_ref()).map(|cause| format!(": {cause}"));
        let dropped = if *self == Self::Dropped { ", dropped" } else { "" };
        LogEntry {
            reason: error.map(|error| error.reason),
            detail: Some(format!("{}{dropped}{}", delivery.target, cause.unwrap_or_default())),
            duration: wait,
            status: error.and_then(|error| error.status),
            ..LogEntry::new(level, event)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notify::{Notice, NoticeKind, Notifications, NotifyTarget, TargetKind};

    #[test]
    fn entries_of_the_log_have_the_cause_and_no_url() {
        let targets = [NotifyTarget::new(TargetKind::Slack, "https://hooks.slack.com/services/hunter2")];
        let mut state = Notifications::default();
        state.push(&targets, Notice::new(NoticeKind::ServiceDown, "a.test", 0), 0);
        let delivery = state.due(&targets, 0).remove(0);
        let failed = DeliveryError {
            detail: Some("connection refused".to_owned()),
            ..DeliveryError::new(Reason::ConnectFailed)
        };
        let settled = state.on_result(&delivery.id, Err(failed.clone()), 0).unwrap();
        let entry = settled.log_entry(&delivery, Some(&failed));
        assert_eq!((entry.event.as_str(), entry.level), ("notification_failed", LogLevel::Warn));
        assert_eq!(entry.detail.as_deref(), Some("slack hooks.slack.com: connection refused"));
        assert_eq!((entry.reason, entry.duration_ms()), (Some(Reason::ConnectFailed), Some(5000)));
        let delivery = state.due(&targets, 5000).remove(0);
        let refused = DeliveryError::check(400, None).unwrap_err();
        let settled = state.on_result(&delivery.id, Err(refused.clone()), 5000).unwrap();
        let entry = settled.log_entry(&delivery, Some(&refused));
        assert_eq!(entry.detail.as_deref(), Some("slack hooks.slack.com, dropped"));
        assert_eq!((entry.status, entry.duration_ms()), (Some(400), None));
        assert_eq!(DeliveryOutcome::Delivered.log_entry(&delivery, None).event.as_str(), "notification_sent");
    }
}
