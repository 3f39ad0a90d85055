//! The access log: one line per request, written when it ends, which may be long after its headers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Request;
use tokio_util::sync::CancellationToken;
use tunnel_balancer_core::{LogEntry, LogEvent, Reason, RequestId};

use crate::log::{Line, LogWriter};
use crate::request_slots::RequestSlot;

/// The facts of a request so far. The line is written on drop, however the request ends.
#[derive(Debug)]
pub(crate) struct Access {
    log: Option<LogWriter>,
    abort: CancellationToken,
    started: Instant,
    last_attempt: LastAttempt,
    /// Held until the server is no longer needed.
    pub(crate) slot: Option<RequestSlot>,
    pub(crate) line: AccessLine,
}

/// The server and the number of the last attempt of a request. Shared with the client that sends
/// it, because a request may end at any time.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastAttempt(Arc<Mutex<Option<(String, u32)>>>);

impl LastAttempt {
    /// Records the start of an attempt.
    pub(crate) fn set(&self, server: &str, number: u32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((server.to_owned(), number));
    }

    fn take(&self) -> Option<(String, u32)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The fields of a line. The query and headers, which may hold secrets, are not among them.
#[derive(Debug, Default)]
pub(crate) struct AccessLine {
    pub(crate) service: Option<String>,
    /// The server that responded, or else that of the last attempt.
    pub(crate) server: Option<String>,
    request_id: String,
    /// Why the client did not get a complete response of a server.
    pub(crate) reason: Option<Reason>,
    client: String,
    method: String,
    pub(crate) host: String,
    path: String,
    user_agent: Option<String>,
    /// `None`: the request ended before there was a response.
    status: Option<u16>,
    /// The size of the response body, or of both directions of a WebSocket.
    pub(crate) bytes: u64,
    /// The time until the headers of the response.
    ttfb: Option<Duration>,
    attempts: u32,
    pub(crate) last_resort: bool,
}

impl Access {
    /// Starts a line. A request that ends after `abort` was aborted by a shutdown.
    pub(crate) fn new<B>(
        log: Option<&LogWriter>,
        abort: &CancellationToken,
        id: &RequestId,
        client: String,
        request: &Request<B>,
    ) -> Self {
        let user_agent = request.headers().get(http::header::USER_AGENT);
        let line = AccessLine {
            request_id: id.to_string(),
            client,
            method: truncate(request.method().as_str()),
            path: truncate(request.uri().path()),
            user_agent: user_agent.map(|value| truncate(&String::from_utf8_lossy(value.as_bytes()))),
            ..AccessLine::default()
        };
        let last_attempt = LastAttempt::default();
        Self { log: log.cloned(), abort: abort.clone(), started: Instant::now(), last_attempt, slot: None, line }
    }

    /// Returns the address of the client.
    pub(crate) fn client(&self) -> &str {
        &self.line.client
    }

    /// Returns the record of the last attempt.
    pub(crate) fn last_attempt(&self) -> LastAttempt {
        self.last_attempt.clone()
    }

    /// Records the headers of the response.
    pub(crate) fn on_response(&mut self, status: http::StatusCode) {
        self.line.status = Some(status.as_u16());
        self.line.ttfb = Some(self.started.elapsed());
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        let Some(log) = &self.log else { return };
        if let Some((server, number)) = self.last_attempt.take() {
            self.line.attempts = number;
            self.line.server.get_or_insert(server);
        }
        if self.abort.is_cancelled() {
            self.line.reason = Some(Reason::Shutdown);
        } else if self.line.status.is_none() {
            self.line.reason = Some(Reason::ClientDisconnected);
        }
        log.line(&self.line.write(log, self.started.elapsed()));
    }
}

impl AccessLine {
    fn write(&self, log: &LogWriter, duration: Duration) -> String {
        let mut line = Line::new(log.format(), "info", LogEvent::Request.as_str());
        let strings = [("service", &self.service), ("server", &self.server)];
        strings.iter().for_each(|(name, value)| value.iter().for_each(|value| line.string(name, value)));
        line.string("request_id", &self.request_id);
        self.reason.iter().for_each(|reason| line.string("reason", reason.as_str()));
        line.number("duration_ms", millis(duration));
        for (name, value) in
            [("client", &self.client), ("method", &self.method), ("host", &self.host), ("path", &self.path)]
        {
            line.string(name, value);
        }
        self.user_agent.iter().for_each(|value| line.string("user_agent", value));
        self.status.iter().for_each(|status| line.number("status", u64::from(*status)));
        line.number("bytes", self.bytes);
        self.ttfb.iter().for_each(|ttfb| line.number("ttfb_ms", millis(*ttfb)));
        line.number("attempts", u64::from(self.attempts));
        if self.last_resort {
            line.flag("last_resort", true);
        }
        line.finish()
    }
}

/// Returns at most [`LogEntry::MAX_CLIENT_CHARS`] characters of a value that a client chose.
pub(crate) fn truncate(value: &str) -> String {
    value.chars().take(LogEntry::MAX_CLIENT_CHARS).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
