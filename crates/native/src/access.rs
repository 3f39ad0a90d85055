//! The access log: one line per request, written when it ends, which may be long after its headers.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::Request;
use tokio_util::sync::CancellationToken;
use tunnel_balancer_core::{LogEntry, LogEvent, Pool, Reason, RequestId, ServerId};

use crate::log::{Line, LogWriter};
use crate::request_slots::RequestSlot;

/// The facts of a request so far. The line is written on drop, however the request ends.
#[derive(Debug)]
pub(crate) struct Access {
    /// `None`: the request is not logged.
    log: Option<(LogWriter, ClientFields)>,
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
pub(crate) struct LastAttempt(Arc<Mutex<Option<(ServerId, u32)>>>);

impl LastAttempt {
    /// Records the start of an attempt.
    pub(crate) fn set(&self, server: ServerId, number: u32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((server, number));
    }

    fn take(&self) -> Option<(ServerId, u32)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The fields that a client determines. The query and headers, which may hold secrets, are not
/// among them.
#[derive(Debug)]
struct ClientFields {
    request_id: RequestId,
    /// From the address to the program of the client.
    fields: Line,
}

/// The other fields of a line.
#[derive(Debug, Default)]
pub(crate) struct AccessLine {
    /// The pool of the service.
    pub(crate) pool: Option<Arc<Pool>>,
    /// The server that responded, or else that of the last attempt.
    pub(crate) server: Option<ServerId>,
    /// Why the client did not get a complete response of a server.
    pub(crate) reason: Option<Reason>,
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
        client: &str,
        host: Option<&str>,
        request: &Request<B>,
    ) -> Self {
        let log = log.map(|log| (log.clone(), ClientFields::new(log, id, client, host, request)));
        let (abort, last_attempt) = (abort.clone(), LastAttempt::default());
        Self { log, abort, started: Instant::now(), last_attempt, slot: None, line: AccessLine::default() }
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
        let Some((log, client)) = &self.log else { return };
        if let Some((server, number)) = self.last_attempt.take() {
            self.line.attempts = number;
            self.line.server.get_or_insert(server);
        }
        if self.abort.is_cancelled() {
            self.line.reason = Some(Reason::Shutdown);
        } else if self.line.status.is_none() {
            self.line.reason = Some(Reason::ClientDisconnected);
        }
        log.line(&self.line.write(log, client, self.started.elapsed()));
    }
}

impl ClientFields {
    fn new<B>(log: &LogWriter, id: &RequestId, client: &str, host: Option<&str>, request: &Request<B>) -> Self {
        let mut fields = Line::part(log.format());
        fields.string("client", client);
        fields.string("method", truncate(request.method().as_str()));
        fields.string("host", truncate(host.unwrap_or_default()));
        fields.string("path", truncate(request.uri().path()));
        if let Some(user_agent) = request.headers().get(http::header::USER_AGENT) {
            match user_agent.to_str() {
                Ok(text) => fields.string("user_agent", truncate(text)),
                Err(_) => fields.string("user_agent", truncate(&String::from_utf8_lossy(user_agent.as_bytes()))),
            }
        }
        Self { request_id: id.clone(), fields }
    }
}

impl AccessLine {
    /// Returns the server that responded, or else that of the last attempt.
    pub(crate) fn server_name(&self) -> Option<&str> {
        Some(&self.pool.as_ref()?.service().server(self.server?)?.name)
    }

    fn write(&self, log: &LogWriter, client: &ClientFields, duration: Duration) -> String {
        let mut line = Line::new(log.format(), "info", LogEvent::Request.as_str());
        self.pool.iter().for_each(|pool| line.string("service", &pool.service().name()));
        self.server_name().into_iter().for_each(|server| line.string("server", server));
        line.string("request_id", client.request_id.as_str());
        self.reason.iter().for_each(|reason| line.string("reason", reason.as_str()));
        line.number("duration_ms", millis(duration));
        line.append(&client.fields);
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
pub(crate) fn truncate(value: &str) -> &str {
    if value.len() <= LogEntry::MAX_CLIENT_CHARS {
        return value;
    }
    let end = value.char_indices().nth(LogEntry::MAX_CLIENT_CHARS).map_or(value.len(), |(end, _)| end);
    &value[..end]
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
