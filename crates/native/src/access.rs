//! The access log: a line for each request when it is over, which may be long after its headers.

use std::time::{Duration, Instant};

use http::Request;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use tunnel_balancer_core::RequestId;

use crate::log::Log;

/// What is known of a request so far. Written when it is dropped, whichever way that comes about.
#[derive(Debug)]
pub(crate) struct Access {
    log: Log,
    abort: CancellationToken,
    began: Instant,
    pub(crate) line: Line,
}

/// The fields of a line. The query is not among them, nor any header that may hold a secret.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Line {
    event: &'static str,
    pub(crate) request: String,
    pub(crate) client: String,
    method: String,
    pub(crate) host: String,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
    /// None: the client went away before there was an answer, or was cut off.
    pub(crate) status: Option<u16>,
    /// Of the answer's body, or of both directions of a WebSocket.
    pub(crate) bytes: u64,
    ms: u64,
    /// Until the headers of the answer.
    pub(crate) ttfb_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) service: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server: Option<String>,
    pub(crate) attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<&'static str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) fallback: bool,
    /// Why the answer did not come to its end, if it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) termination: Option<&'static str>,
}

impl Access {
    /// Longer texts of a client are cut: a log is no place to store them.
    const LONGEST: usize = 1024;

    /// What ends after `cut` has been ended by the proxy.
    pub(crate) fn new<B>(
        log: &Log,
        abort: &CancellationToken,
        id: &RequestId,
        client: String,
        request: &Request<B>,
    ) -> Self {
        let user_agent = request.headers().get(http::header::USER_AGENT);
        let line = Line {
            event: "request",
            request: id.to_string(),
            client,
            method: shortened(request.method().as_str()),
            path: shortened(request.uri().path()),
            user_agent: user_agent.map(|value| shortened(&String::from_utf8_lossy(value.as_bytes()))),
            ..Line::default()
        };
        Self { log: log.clone(), abort: abort.clone(), began: Instant::now(), line }
    }

    pub(crate) fn on_response(&mut self, status: http::StatusCode) {
        self.line.status = Some(status.as_u16());
        self.line.ttfb_ms = Some(millis(self.began.elapsed()));
    }
}

impl Drop for Access {
    fn drop(&mut self) {
        if self.abort.is_cancelled() {
            self.line.termination = Some("the proxy was told to end");
        }
        self.line.ms = millis(self.began.elapsed());
        self.log.line(&self.line);
    }
}

/// At most [`Access::LONGEST`] letters of a text that a client chose.
pub(crate) fn shortened(text: &str) -> String {
    text.chars().take(Access::LONGEST).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
