//! The record of a server: its requests and counters.

use std::time::Instant;

use crate::digest::Digest;
use crate::wire::Headers;

/// One request, unchanged.
#[derive(Clone, Debug)]
pub struct ReceivedRequest {
    /// When its head arrived.
    pub arrived: Instant,
    /// Method.
    pub method: String,
    /// Request target: path and query as they were sent.
    pub target: String,
    /// Header lines in order.
    pub headers: Headers,
    /// Length and checksum of the body.
    pub body: Digest,
    /// The trailer lines of its body.
    pub trailers: Vec<String>,
    /// The status of its response, if that is fixed.
    pub replied_status: Option<u16>,
}

impl ReceivedRequest {
    /// Returns the first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.first(name)
    }
}

/// Counters of a server. Only `probes_in_flight` can decrease.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// Requests other than probes, counted when their head has arrived.
    pub requests: usize,
    /// Probes, counted when their head has arrived.
    pub probes: usize,
    /// Probes that wait for a response.
    pub probes_in_flight: usize,
    /// The maximum of `probes_in_flight`.
    pub max_probes_in_flight: usize,
    /// Bytes of request bodies.
    pub body_bytes: u64,
    /// Responses that the peer aborted by closing the connection.
    pub aborted: usize,
    /// Accepted connections.
    pub connections: usize,
    /// WebSocket sessions opened.
    pub websockets: usize,
    /// Code and reason of the client's close frame of each ended WebSocket session. `None` if the
    /// connection ended without one.
    pub websocket_closes: Vec<Option<(u16, String)>>,
}

impl Counts {
    /// Returns the number of probes that have ended.
    pub fn probes_done(&self) -> usize {
        self.probes - self.probes_in_flight
    }
}
