//! What the operator of a proxy decides, apart from the services.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::peer::TrustedProxies;

/// How to serve.
#[derive(Clone, Debug)]
pub struct Options {
    /// The configuration of the services.
    pub file: PathBuf,
    /// Where to listen.
    pub listen: Vec<SocketAddr>,
    /// To speak TLS there; plain HTTP otherwise.
    pub tls: Option<TlsFiles>,
    /// Who may say where a client comes from.
    pub trusted: TrustedProxies,
    /// What clients use, `http` or `https`, when a proxy in front of this one ends their TLS.
    /// Otherwise what this one speaks.
    pub public_scheme: Option<&'static str>,
    /// What one client may take.
    pub limits: Limits,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The certificate, followed by those up to a root.
    pub certificates: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Bounds that no client gets past.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long a client may be silent where it should not be: before a request, in its headers and
    /// body, and while an answer waits to be taken. WebSockets may be silent for ever. Default 60
    /// s.
    pub idle: Duration,
    /// How long a server may be silent within the body of an answer. Default 10 min: a stream of
    /// events says nothing for minutes, and is well.
    pub answer_idle: Duration,
    /// How long requests may take to end after the proxy was told to. Default 30 s.
    pub drain: Duration,
    /// The headers of a request, in bytes; 8 KiB at least. Default 64 KiB.
    pub header_size: usize,
    /// Connections at a time. More wait to be accepted. Default 10,000.
    pub connections: usize,
    /// Those of one address, trusted proxies excepted. More are closed at once. Default 256.
    pub connections_per_client: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(60),
            answer_idle: Duration::from_secs(600),
            drain: Duration::from_secs(30),
            header_size: 64 * 1024,
            connections: 10_000,
            connections_per_client: 256,
        }
    }
}
