//! The log: events through `tracing`, and a batched writer for them and for the access log.
//!
//! An event has the target [`TARGET`], its name in the field `event`, and the fields of
//! [`LogEntry`]. [`LogLayer`] writes such events as lines of JSON or text; any other subscriber of
//! `tracing` works too.

mod layer;
mod line;
mod writer;

use std::net::SocketAddr;
use std::time::Duration;

use tracing::Level;
use tunnel_balancer_config::Errors;
use tunnel_balancer_core::{LogEntry, LogEvent, LogLevel, Reason, Services};
use tunnel_balancer_state::TargetKind;
use tunnel_balancer_state::control::Override;

use crate::config_file::ConfigFile;

pub use layer::LogLayer;
pub(crate) use line::Line;
pub use line::LogFormat;
pub use writer::LogWriter;

/// The target of all events.
pub const TARGET: &str = "tunnel_balancer";

/// Emits an entry. Its `None` fields are left out.
pub(crate) fn emit(entry: &LogEntry<'_>) {
    macro_rules! event {
        ($level:ident) => {
            tracing::event!(
                target: TARGET,
                Level::$level,
                event = entry.event.as_str(),
                service = entry.service.as_deref(),
                server = entry.server,
                request_id = entry.request_id,
                reason = entry.reason.map(Reason::as_str),
                detail = entry.detail.as_deref(),
                duration_ms = entry.duration_ms(),
                attempt = entry.attempt,
                status = entry.status,
                host = entry.host.as_deref(),
                source = entry.source,
                services = entry.services,
                servers = entry.servers,
            )
        };
    }
    match entry.level {
        LogLevel::Error => event!(ERROR),
        LogLevel::Warn => event!(WARN),
        LogLevel::Info => event!(INFO),
        LogLevel::Debug => event!(DEBUG),
    }
}

/// Emits that a configuration is in use, and its warnings.
pub(crate) fn config_loaded(file: &ConfigFile, services: &Services, detail: &str) {
    let source = file.name();
    emit(&LogEntry { detail: Some(detail.to_owned()), ..LogEntry::config_loaded(services, &source) });
    for warning in file.warnings() {
        let entry = LogEntry::new(LogLevel::Warn, LogEvent::ConfigWarning);
        emit(&LogEntry { detail: Some(warning), source: Some(&source), ..entry });
    }
}

/// Emits the services that are not served, because their secrets are missing.
pub(crate) fn missing_secrets(file: &ConfigFile, addresses: &[String], errors: Option<&Errors>) {
    let source = file.name();
    for (address, errors) in addresses.iter().zip(errors.into_iter().cycle()) {
        emit(&LogEntry::missing_secret(address, &source, errors.in_file(&source).to_string()));
    }
}

/// Emits that targets of notifications are not used, because their secrets are missing.
pub(crate) fn targets_without_secrets(file: &ConfigFile, targets: &[TargetKind], errors: Option<&Errors>) {
    let source = file.name();
    for errors in errors.into_iter().filter(|_| !targets.is_empty()) {
        emit(&LogEntry {
            reason: Some(Reason::MissingSecret),
            detail: Some(errors.in_file(&source).to_string()),
            source: Some(&source),
            ..LogEntry::new(LogLevel::Warn, LogEvent::NotificationFailed)
        });
    }
}

/// Emits that the status endpoint has no token, because its secret is missing.
pub(crate) fn status_without_secret(file: &ConfigFile, is_missing: bool, errors: Option<&Errors>) {
    let source = file.name();
    for errors in errors.into_iter().filter(|_| is_missing) {
        emit(&LogEntry::status_without_secret(&source, errors.in_file(&source).to_string()));
    }
}

/// Emits that a configuration or a certificate is invalid. The previous one stays in use.
pub(crate) fn config_rejected(source: &str, reason: Reason, detail: String) {
    emit(&LogEntry::config_rejected(source, reason, detail));
}

/// Emits that connections or requests were rejected before they reached a service. `client` and
/// `detail` are those of the last one.
pub(crate) fn connection_rejected(reason: Reason, client: &str, detail: &str, connections: u64) {
    let (event, reason) = (LogEvent::ConnectionRejected.as_str(), reason.as_str());
    tracing::warn!(target: TARGET, event, reason, detail, client, connections);
}

/// Emits a change that an operator made, or that was ended before its time.
pub(crate) fn control_changed(change: &Override) {
    emit(&change.log_entry(LogEvent::ControlChanged));
}

/// Emits the end of a change by its duration.
pub(crate) fn control_expired(change: &Override) {
    emit(&change.log_entry(LogEvent::ControlExpired));
}

/// Emits that the file of changes cannot be read or written.
pub(crate) fn state_file_failed(file: &str, error: &str) {
    let entry = LogEntry::new(LogLevel::Error, LogEvent::StateFileFailed);
    emit(&LogEntry { detail: Some(error.to_owned()), source: Some(file), ..entry });
}

/// Emits that other certificates are in use.
pub(crate) fn certificate_loaded(source: &str) {
    tracing::info!(target: TARGET, event = LogEvent::CertificateLoaded.as_str(), source);
}

/// Emits that an option cannot be followed.
pub(crate) fn option_limited(option: &str, detail: &str) {
    tracing::warn!(target: TARGET, event = LogEvent::ConfigWarning.as_str(), detail, source = option);
}

/// Emits that a listener accepts connections.
pub(crate) fn listening(address: SocketAddr, scheme: &str) {
    let event = LogEvent::Listening.as_str();
    tracing::info!(target: TARGET, event, address = address.to_string(), scheme);
}

/// Emits that the listener of operators accepts connections.
pub(crate) fn admin_listening(address: SocketAddr) {
    let event = LogEvent::Listening.as_str();
    tracing::info!(target: TARGET, event, address = address.to_string(), scheme = "http", source = "--admin");
}

/// Emits that requests in flight have this time to finish.
pub(crate) fn draining(timeout: Duration) {
    emit(&LogEntry { duration: Some(timeout), ..LogEntry::new(LogLevel::Info, LogEvent::Draining) });
}

/// Emits the end of the proxy. `drained` is whether all requests finished.
pub(crate) fn stopped(drained: bool) {
    tracing::info!(target: TARGET, event = LogEvent::Stopped.as_str(), drained);
}
