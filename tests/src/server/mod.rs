//! A server with faults on demand, for every way in which a tunnel or its application fails.
//!
//! By default it echoes requests. Its [`Action`] can be changed at any time, for all paths or for
//! one. Probes use a path of their own ([`HEALTH_PATH`]) with an action and counters of their own,
//! because an application may fail while its probes pass. All requests are recorded unchanged.

mod action;
mod connection;
mod record;
#[cfg(test)]
mod tests;
mod websocket;

pub use action::{Action, Events, Feed, Reply, events};
pub use record::{Counts, ReceivedRequest};

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use std::{fs, io};

use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};

use crate::within;

/// The path of health checks, which [`crate::Service`] configures.
pub const HEALTH_PATH: &str = "/__health";

/// A running or stopped server on its own loopback port.
pub struct FaultyServer {
    shared: Arc<Shared>,
    addr: SocketAddr,
    // Bound, but not listening: while the server is stopped, its port stays reserved and
    // connections are refused.
    _port: TcpSocket,
    listener: Mutex<Option<Listener>>,
}

impl FaultyServer {
    /// Starts a server on any free port.
    pub async fn start(name: &str) -> Self {
        Self::on_port(name, 0).await.expect("a free port on loopback")
    }

    /// Starts a server for each name.
    pub async fn start_all<const N: usize>(names: [&str; N]) -> [Self; N] {
        let mut servers = Vec::with_capacity(N);
        for name in names {
            servers.push(Self::start(name).await);
        }
        servers.try_into().unwrap_or_else(|_| unreachable!("one server for each name"))
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

    /// Returns the name: that of the configuration and of `X-Served-By`.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Returns the address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Returns the URL without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Sets the action for requests on every path without an action of its own.
    pub fn respond(&self, action: impl Into<Action>) {
        self.shared.behavior().traffic = action.into();
    }

    /// Sets the action for requests on one path.
    pub fn respond_at(&self, path: &str, action: impl Into<Action>) {
        self.shared.behavior().paths.insert(path.to_owned(), action.into());
    }

    /// Sets the action for probes.
    pub fn respond_to_probes(&self, action: impl Into<Action>) {
        self.shared.behavior().probes = action.into();
    }

    /// Sets the action for requests and probes, as for a tunnel without a connector.
    pub fn outage(&self, action: impl Into<Action>) {
        let action = action.into();
        self.respond(action.clone());
        self.respond_to_probes(action);
    }

    /// Restores the actions of the start.
    pub fn recover(&self) {
        *self.shared.behavior() = Behavior::default();
    }

    /// Stops listening and drops all connections. New connections are refused.
    pub async fn stop(&self) {
        let listener = self.listener.lock().expect("no panic while locked").take();
        if let Some(Listener { stop, task }) = listener {
            let _ = stop.send(());
            within("a server to stop", task).await.expect("the accept loop does not panic");
        }
    }

    /// Waits until all peers have closed their connections, after a [`stop`](Self::stop). Returns
    /// at once if there is no `/proc`.
    pub async fn until_disconnected(&self) {
        let poll = async {
            while is_connected_to(self.addr.port()) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        within("all peers to disconnect from a stopped server", poll).await;
    }

    /// Listens again on the same port, if the server is stopped.
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

    /// Returns all requests so far whose body has ended, in that order, without probes.
    pub fn requests(&self) -> Vec<ReceivedRequest> {
        self.shared.seen.lock().expect("no panic while locked").clone()
    }

    /// Returns the only request so far.
    pub fn only_request(&self) -> ReceivedRequest {
        let mut requests = self.requests();
        assert_eq!(requests.len(), 1, "requests at {}: {requests:#?}", self.name());
        requests.remove(0)
    }

    /// Returns the probes so far.
    pub fn probes(&self) -> Vec<ReceivedRequest> {
        self.shared.probes.lock().expect("no panic while locked").clone()
    }

    /// Removes the records of all requests and probes so far, so that a long run needs no memory.
    pub fn forget(&self) {
        for records in [&self.shared.seen, &self.shared.probes] {
            records.lock().expect("no panic while locked").clear();
        }
    }

    /// Returns the counters.
    pub fn counts(&self) -> Counts {
        self.shared.counts.borrow().clone()
    }

    /// Returns the number of requests, without probes. A request counts when its head arrives.
    pub fn hits(&self) -> usize {
        self.counts().requests
    }

    /// Waits until the counters satisfy `condition`. Returns them.
    pub async fn until(&self, what: &str, condition: impl Fn(&Counts) -> bool) -> Counts {
        let mut changes = self.shared.counts.subscribe();
        let wait = changes.wait_for(|counts| condition(counts));
        within(&format!("{what} at {}", self.name()), wait).await.expect("the server keeps the sender alive").clone()
    }
}

/// The state that all connections of a server share.
struct Shared {
    name: String,
    behavior: Mutex<Behavior>,
    counts: watch::Sender<Counts>,
    seen: Mutex<Vec<ReceivedRequest>>,
    probes: Mutex<Vec<ReceivedRequest>>,
}

#[derive(Default)]
struct Behavior {
    traffic: Action,
    probes: Action,
    paths: HashMap<String, Action>,
}

struct Listener {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Shared {
    fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            behavior: Mutex::default(),
            counts: watch::Sender::default(),
            seen: Mutex::default(),
            probes: Mutex::default(),
        }
    }

    fn behavior(&self) -> MutexGuard<'_, Behavior> {
        self.behavior.lock().expect("no panic while locked")
    }

    fn count(&self, change: impl FnOnce(&mut Counts)) {
        self.counts.send_modify(change);
    }
}

impl Behavior {
    fn action(&self, path: &str) -> Action {
        let default = if path == HEALTH_PATH { &self.probes } else { &self.traffic };
        self.paths.get(path).unwrap_or(default).clone()
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
    // Closing it is not enough: a process that is being started has a copy until it runs its
    // program.
    let _ = rustix::net::shutdown(&listener, rustix::net::Shutdown::Both);
    drop(listener);
    connections.shutdown().await;
}

/// Returns whether a socket of this machine has a peer at this port of IPv4 and is not closed.
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
