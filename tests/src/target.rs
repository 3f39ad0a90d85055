//! What a case drives: any host of the balancer.
//!
//! A case knows a target by its address and its log. To add one, add a variant, say how it starts,
//! and list it in `conformance/main.rs`. Where hosts are bound to differ inside a case, [`Limit`]
//! says what one of them cannot do and why, so that the difference is written down once; it is
//! printed with the results.

use std::net::SocketAddr;

use crate::log::Log;
use crate::proxy::Proxy;
use crate::workerd::BuiltWorker;

/// The secret that every target is started with, and its value: a configuration writes
/// `"${AFFINITY_KEY}"`.
pub const SECRET: (&str, &str) = ("AFFINITY_KEY", "a key that only this suite knows");

/// The kinds of host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// The Worker.
    Worker,
    /// The native proxy.
    Native,
}

/// A host that can be started.
#[derive(Clone, Debug)]
pub enum Target {
    /// The built Worker on workerd.
    Worker(BuiltWorker),
    /// The program `tunnel-balancer serve`.
    Native(Proxy),
}

/// A started target. It ends when this is dropped.
pub struct Running {
    /// Where it serves.
    pub addr: SocketAddr,
    /// Its process.
    pub pid: u32,
    _guard: Box<dyn Send>,
}

/// What some hosts cannot do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Telling "connection refused" (never delivered, any method may go elsewhere) from a broken
    /// connection (unknown).
    RefusedConnections,
    /// Passing on paths with dot segments, backslashes and characters such as `{` as they were
    /// sent.
    OddPaths,
    /// Taking requests such as `GET http://host/path`.
    AbsoluteForm,
    /// Removing the headers that `Connection` names, and those that are about a proxy
    /// (`Proxy-Authorization`, `Alt-Svc`).
    ProxyHeaders,
}

/// Who is limited in what, and why.
pub const LIMITS: [(Host, Limit, &str); 4] = [
    (Host::Worker, Limit::RefusedConnections, "the fetch of workerd gives one exception for refused and for broken"),
    (Host::Worker, Limit::OddPaths, "workerd parses every URL as WHATWG says, and normalises these"),
    (Host::Worker, Limit::AbsoluteForm, "workerd ends such requests itself, with a 500"),
    (Host::Worker, Limit::ProxyHeaders, "a Worker is not shown Connection, and leaves the others to Cloudflare's edge"),
];

impl Host {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Worker, Self::Native];

    /// First part of the names of its tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Native => "native",
        }
    }

    /// Finds what it takes to start it, or says what to do.
    pub fn find(self) -> Result<Target, String> {
        match self {
            Self::Worker => BuiltWorker::find().map(Target::Worker),
            Self::Native => Proxy::find().map(Target::Native),
        }
    }
}

impl Target {
    /// What kind it is of.
    pub fn host(&self) -> Host {
        match self {
            Self::Worker(_) => Host::Worker,
            Self::Native(_) => Host::Native,
        }
    }

    /// Starts it with a configuration; it writes to `log`.
    pub async fn start(&self, yaml: &str, log: &Log) -> Result<Running, String> {
        match self {
            Self::Worker(worker) => {
                let (addr, process) = worker.start(yaml, 0, log).await?;
                Ok(Running { addr, pid: process.id(), _guard: Box::new(process) })
            }
            Self::Native(proxy) => {
                // As behind Cloudflare, so that both hosts learn a client's address in the same
                // way.
                let behind_cloudflare = ["--client-ip-header", "cf-connecting-ip"];
                let started = proxy.start(yaml, &behind_cloudflare, log, None).await;
                let process = started.map_err(|rejection| rejection.to_string())?;
                Ok(Running { addr: process.addrs()[0], pid: process.id(), _guard: Box::new(process) })
            }
        }
    }

    /// Whether it does what [`Limit::RefusedConnections`] is about.
    pub fn sees_refused_connections(&self) -> bool {
        self.can(Limit::RefusedConnections)
    }

    /// Whether it does what [`Limit::OddPaths`] is about.
    pub fn keeps_odd_paths(&self) -> bool {
        self.can(Limit::OddPaths)
    }

    /// Whether it does what [`Limit::AbsoluteForm`] is about.
    pub fn takes_absolute_form(&self) -> bool {
        self.can(Limit::AbsoluteForm)
    }

    /// Whether it does what [`Limit::ProxyHeaders`] is about.
    pub fn removes_proxy_headers(&self) -> bool {
        self.can(Limit::ProxyHeaders)
    }

    fn can(&self, what: Limit) -> bool {
        !LIMITS.iter().any(|(host, limit, _)| (*host, *limit) == (self.host(), what))
    }
}
