//! The options of the proxy, apart from its services.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tunnel_balancer_state::control::Token;

use crate::peer::TrustedProxies;
use crate::shared_health::PushTarget;

/// The options of [`serve`](crate::serve()).
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration file.
    pub file: PathBuf,
    /// The addresses to listen on.
    pub listen: Vec<Listen>,
    /// The certificates of the listeners for HTTPS. A client gets the first one that is valid for
    /// the host that it names, or else the first of all.
    pub tls: Vec<TlsFiles>,
    /// The proxies that may name the client.
    pub trusted: TrustedProxies,
    /// The scheme that clients use, `http` or `https`, if a proxy in front terminates their TLS.
    /// `None`: the scheme of the listener.
    pub public_scheme: Option<&'static str>,
    /// The limits.
    pub limits: Limits,
    /// The listener of operators. `None`: there is no control at run time.
    pub admin: Option<Admin>,
    /// The file in which changes of operators, and the history, survive restarts.
    pub state_file: Option<PathBuf>,
    /// The Worker with which health is shared.
    pub monitor: Option<PushTarget>,
}

/// The listener of operators.
#[derive(Clone, Debug)]
pub struct Admin {
    /// The address.
    pub address: SocketAddr,
    /// The token of requests. `None`: the address has to be one of loopback, and any program of
    /// this machine is accepted.
    pub token: Option<Token>,
}

/// An address to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address.
    pub address: SocketAddr,
    /// What clients speak there.
    pub protocol: Protocol,
}

/// The protocol of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1 without TLS.
    Http,
    /// HTTP/1.1 and HTTP/2 over TLS.
    Https,
    /// HTTP/1.1 without TLS. Each request is redirected to the first listener for HTTPS.
    Redirect,
}

impl Protocol {
    /// Returns its scheme.
    pub(crate) const fn scheme(self) -> &'static str {
        match self {
            Self::Http | Self::Redirect => "http",
            Self::Https => "https",
        }
    }
}

/// A certificate and its key in PEM format.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, followed by its chain.
    pub certificates: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The limits of clients and servers.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The idle timeout of clients: before a request, within its headers and body, and while a
    /// response is not read. WebSockets have none. Default 60 s.
    pub idle: Duration,
    /// The idle timeout of a server within a response body. Default 10 min: event streams are
    /// silent for minutes.
    pub upstream_idle: Duration,
    /// The time for requests in flight to finish at shutdown. Default 30 s.
    pub drain: Duration,
    /// The maximum size of the headers of a request, in bytes, at least 8 KiB. Default 64 KiB.
    pub header_size: usize,
    /// The maximum number of connections, and of requests in flight. Further ones wait. The limit
    /// of file descriptors may allow fewer. Default 10,000.
    pub connections: usize,
    /// The maximum number of connections per address, except for trusted proxies. As many again
    /// wait, and further ones are closed. `None`: 256, and no limit for private networks.
    pub connections_per_client: Option<usize>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            upstream_idle: Duration::from_secs(600),
            drain: Duration::from_secs(30),
            header_size: 64 * 1024,
            connections: 10_000,
            connections_per_client: None,
        }
    }
}
