//! One connection of a server: requests in turn, each recorded and answered.

use std::io;
use std::sync::Arc;

use tokio::net::TcpStream;

use super::{HEALTH_PATH, Seen, Shared};
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

/// One request and its answer. Gives the connection back if it can carry another request.
async fn exchange(mut wire: Wire, head: Head, shared: &Shared) -> io::Result<Option<Wire>> {
    let mut words = head.first_line.splitn(3, ' ').map(str::to_owned);
    let method = words.next().unwrap_or_default();
    let target = words.next().unwrap_or_default();
    let path = target.split('?').next().unwrap_or_default();
    let probe = path == HEALTH_PATH;
    let _open = if probe { Some(OpenProbe::new(shared)) } else { None };
    if !probe {
        shared.count(|counts| counts.requests += 1);
    }
    let answer = shared.behaviour().answer(path);

    let mut body = digest::Running::default();
    let mut framing = head.request_framing();
    while let Some(piece) = wire.piece(&mut framing).await? {
        body.add(&piece);
        shared.count(|counts| counts.body_bytes += piece.len() as u64);
    }
    let seen = Seen { method, target, headers: head.headers, body: body.digest(), told: answer.told() };
    let record = if probe { &shared.probes } else { &shared.seen };
    record.lock().expect("no panic while locked").push(seen.clone());
    answer.give(wire, &seen, shared).await
}

/// Counts a health check as open until it is answered, given up or cut.
struct OpenProbe<'a>(&'a Shared);

impl<'a> OpenProbe<'a> {
    fn new(shared: &'a Shared) -> Self {
        shared.count(|counts| {
            counts.probes += 1;
            counts.probes_open += 1;
            counts.probes_at_once = counts.probes_at_once.max(counts.probes_open);
        });
        Self(shared)
    }
}

impl Drop for OpenProbe<'_> {
    fn drop(&mut self) {
        self.0.count(|counts| counts.probes_open -= 1);
    }
}
