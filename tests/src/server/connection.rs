//! One connection of a server: reads, records and responds to one request after the other.

use std::io;
use std::sync::Arc;
use std::time::Instant;

use tokio::net::TcpStream;

use super::{HEALTH_PATH, ReceivedRequest, Shared};
use crate::digest;
use crate::wire::{Head, Wire};

pub(super) async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let mut wire = Wire::new(stream);
    while let Ok(Some(head)) = wire.head().await {
        match exchange(wire, head, &shared).await {
            Ok(Some(kept)) => wire = kept,
            Ok(None) | Err(_) => return,
        }
    }
}

/// Runs one exchange. Returns the connection if it can carry another request.
async fn exchange(mut wire: Wire, head: Head, shared: &Shared) -> io::Result<Option<Wire>> {
    let arrived = Instant::now();
    let mut words = head.first_line.splitn(3, ' ').map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let probe = path == HEALTH_PATH;
    let _in_flight = if probe { Some(ProbeInFlight::new(shared)) } else { None };
    if !probe {
        shared.count(|counts| counts.requests += 1);
    }
    let action = shared.behavior().action(path);

    let mut body = digest::RunningDigest::default();
    let mut framing = head.request_framing();
    while let Some(piece) = wire.piece(&mut framing).await? {
        body.add(&piece);
        shared.count(|counts| counts.body_bytes += piece.len() as u64);
    }
    let seen = ReceivedRequest {
        arrived,
        method,
        target,
        headers: head.headers,
        body: body.digest(),
        trailers: wire.take_trailers(),
        replied_status: action.status(),
    };
    let record = if probe { &shared.probes } else { &shared.seen };
    record.lock().expect("no panic while locked").push(seen.clone());
    action.perform(wire, &seen, shared).await
}

/// Counts a probe as in flight until it ends.
struct ProbeInFlight<'a>(&'a Shared);

impl<'a> ProbeInFlight<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.count(|counts| {
            counts.probes += 1;
            counts.probes_in_flight += 1;
            counts.max_probes_in_flight = counts.max_probes_in_flight.max(counts.probes_in_flight);
        });
        Self(shared)
    }
}

impl Drop for ProbeInFlight<'_> {
    fn drop(&mut self) {
        self.0.count(|counts| counts.probes_in_flight -= 1);
    }
}
