//! A server that can be broken on purpose, in every way in which a tunnel or the application behind
//! it breaks.
//!
//! It answers like a small application and can be told at any moment, for all paths or for one, to
//! answer otherwise: with a status, a redirect, a stream, a reset, or not at all. Health checks go
//! to a path of their own ([`HEALTH_PATH`]), with their own behaviour and their own counters,
//! because "the probe passes, the application hangs" is the interesting case. Everything received
//! is kept, as it was on the wire.

mod answer;
mod connection;
mod record;
#[cfg(test)]
mod tests;
mod websocket;

pub use answer::{Answer, Events, Feed, Reply, events};
pub use record::{Counts, Seen};

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use std::{fs, io};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::within;

/// The path that is a health check and not traffic; [`crate::Service`] puts it into the
/// configuration.
pub const HEALTH_PATH: &str = "/__health";

/// A running (or stopped) server on a loopback port of its own.
pub struct FaultyServer {
    shared: Arc<Shared>,
    addr: SocketAddr,
    // Bound, but not listening: while the server is stopped nobody else gets its port, and
    // connections are refused.
    _port: TcpSocket,
    listener: Mutex<Option<Listener>>,
}

impl FaultyServer {
    /// Starts a server on any free port.
    pub async fn start(name: &str) -> Self {
        Self::on_port(name, 0).await.expect("a free port on loopback")
    }

    /// Starts a server on the given port.
    pub async fn on_port(name: &str, port: u16) -> io::Result<Self> {
        let held = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
        let addr = held.local_addr()?;
        let shared = Arc::new(Shared::new(name));
        let server = Self { shared, addr, _port: held, listener: Mutex::new(None) };
        server.restart()?;
        Ok(server)
    }

    /// The name, as it goes into the configuration and comes back in `X-Served-By`.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// From now on gives this answer to traffic on every path that has no answer of its own.
    pub fn answer(&self, answer: impl Into<Answer>) {
        self.shared.behaviour().traffic = answer.into();
    }

    /// From now on gives this answer to traffic on one path.
    pub fn answer_at(&self, path: &str, answer: impl Into<Answer>) {
        self.shared.behaviour().paths.insert(path.to_owned(), answer.into());
    }

    /// From now on gives this answer to health checks.
    pub fn health(&self, answer: impl Into<Answer>) {
        self.shared.behaviour().health = answer.into();
    }

    /// From now on gives this answer to everything, as a tunnel without a connector does.
    pub fn outage(&self, answer: impl Into<Answer>) {
        let answer = answer.into();
        self.answer(answer.clone());
        self.health(answer);
    }

    /// Everything is as in the beginning.
    pub fn recover(&self) {
        *self.shared.behaviour() = Behaviour::default();
    }

    /// Stops listening and drops every connection. New connections are refused.
    pub async fn stop(&self) {
        let listener = self.listener.lock().expect("no panic while locked").take();
        if let Some(Listener { stop, task }) = listener {
            let _ = stop.send(());
            within("a server to stop", task).await.expect("the accept loop does not panic");
        }
    }

    /// Waits until nobody has a connection to it any more: after a [`stop`](Self::stop), until all
    /// have noticed. Where the system does not tell (there is no `/proc`), nobody waits.
    pub async fn forgotten(&self) {
        let poll = async {
            while is_connected_to(self.addr.port()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("everybody to notice that a server stopped", poll).await;
    }

    /// Listens again, on the same port. Does nothing when it does already.
    pub fn restart(&self) -> io::Result<()> {
        let mut listener = self.listener.lock().expect("no panic while locked");
        if listener.is_none() {
            let accepting = socket(self.addr)?.listen(1024)?;
            let (stop, stopped) = oneshot::channel();
            let task = tokio::spawn(accept(accepting, stopped, Arc::clone(&self.shared)));
            *listener = Some(Listener { stop, task });
        }
        Ok(())
    }

    /// The traffic received so far, health checks left out: every request whose body ended, in that
    /// order.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.seen.lock().expect("no panic while locked").clone()
    }

    /// The only request received so far.
    pub fn only_request(&self) -> Seen {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "requests at {}: {requests:#?}", self.name());
        requests.remove(0)
    }

    /// The health checks received so far.
    pub fn probes(&self) -> Vec<Seen> {
        self.shared.probes.lock().expect("no panic while locked").clone()
    }

    /// The counters.
    pub fn counts(&self) -> Counts {
        self.shared.counts.borrow().clone()
    }

    /// Number of requests that reached this server, health checks left out. Counted when the head
    /// arrives.
    pub fn hits(&self) -> usize {
        self.counts().requests
    }

    /// Waits until the counters satisfy `condition`; returns them.
    pub async fn until(&self, what: &str, condition: impl Fn(&Counts) -> bool) -> Counts {
        let mut changes = self.shared.counts.subscribe();
        let wait = changes.wait_for(|counts| condition(counts));
        within(&format!("{what} at {}", self.name()), wait).await.expect("the server keeps the sender alive").clone()
    }
}

/// What the connections of one server share.
struct Shared {
    name: String,
    behaviour: Mutex<Behaviour>,
    counts: watch::Sender<Counts>,
    seen: Mutex<Vec<Seen>>,
    probes: Mutex<Vec<Seen>>,
}

#[derive(Default)]
struct Behaviour {
    traffic: Answer,
    health: Answer,
    paths: HashMap<String, Answer>,
}

struct Listener {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Shared {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            behaviour: Mutex::default(),
            counts: watch::Sender::default(),
            seen: Mutex::default(),
            probes: Mutex::default(),
        }
    }

    fn behaviour(&self) -> MutexGuard<'_, Behaviour> {
        self.behaviour.lock().expect("no panic while locked")
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }
}

impl Behaviour {
    fn answer(&self, path: &str) -> Answer {
        let usual = if path == HEALTH_PATH { &self.health } else { &self.traffic };
        self.paths.get(path).unwrap_or(usual).clone()
    }
}

async fn accept(listener: TcpListener, mut stopped: oneshot::Receiver<()>, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = listener.accept() => {
                shared.count(|counts| counts.connections += 1);
                connections.spawn(connection::serve(stream, Arc::clone(&shared)));
            }
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// Whether some socket of this machine has a peer at this port of IPv4 and was not closed yet by
/// its program.
fn is_connected_to(port: u16) -> bool {
    const ESTABLISHED: &str = "01";
    const CLOSE_WAIT: &str = "08";
    let sockets = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let is_open = |line: &str| {
        let mut fields = line.split_whitespace().skip(2);
        let (peer, state) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        peer.ends_with(&format!(":{port:04X}")) && [ESTABLISHED, CLOSE_WAIT].contains(&state)
    };
    sockets.lines().any(is_open)
}

fn socket(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?; // two sockets share the port: one holds it, one listens
    socket.bind(addr)?;
    Ok(socket)
}
