//! What a server remembers of the requests it got.

use crate::digest::Digest;
use crate::wire::Headers;

/// One request, as it was on the wire.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Method.
    pub method: String,
    /// Request target, untouched: path and query as they were sent.
    pub target: String,
    /// Header lines in order.
    pub headers: Headers,
    /// Length and checksum of the body.
    pub body: Digest,
    /// The status of the fixed answer that it got; `None` for any other kind of answer.
    pub told: Option<u16>,
}

impl Seen {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }
}

/// Counters of a server. They only grow, `probes_open` excepted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests that are not health checks, counted when their head has arrived.
    pub requests: usize,
    /// Health checks, counted when their head has arrived.
    pub probes: usize,
    /// Health checks that wait for their answer at this moment.
    pub probes_open: usize,
    /// The most health checks that ever waited at the same time.
    pub probes_at_once: usize,
    /// Bytes of request bodies.
    pub body_bytes: u64,
    /// Answers that the other side did not wait for: it closed the connection before their end.
    pub aborted: usize,
    /// Accepted connections.
    pub connections: usize,
    /// WebSocket sessions opened.
    pub websockets: usize,
    /// How WebSocket sessions ended: code and reason of the client's close frame; `None` if the
    /// connection just ended.
    pub websocket_closes: Vec<Option<(u16, String)>>,
}

impl Counts {
    /// Health checks that got their answer, or gave up.
    pub fn probes_done(&self) -> usize {
        self.probes - self.probes_open
    }
}
