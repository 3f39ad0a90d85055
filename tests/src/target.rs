//! The targets of the suite: all hosts of the balancer.
//!
//! A case depends only on the address and the log of a target. To add one, add a variant of
//! [`Host`] and of [`Target`]. [`Limit`] lists the differences of hosts inside cases, with their
//! reasons, which are printed with the results.

use std::net::SocketAddr;

use crate::log::Log;
use crate::proxy::Proxy;
use crate::workerd::BuiltWorker;

/// The name and the value of the secret of every target: `"${AFFINITY_KEY}"` in a configuration.
pub const SECRET: (&str, &str) = ("AFFINITY_KEY", "a key of the conformance suite");

/// The variable and the value of the token of operators: see [`Target::with_control_token`].
pub const CONTROL_TOKEN: (&str, &str) = ("BALANCER_CONTROL_TOKEN", "a-token-of-the-conformance-suite");

/// The kinds of host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Host {
    /// The Worker on the workerd that wrangler uses.
    Worker,
    /// The Worker on the newest workerd, as on Cloudflare.
    WorkerNewest,
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
    /// The same with an admin listener.
    NativeWithAdmin(Proxy),
}

/// A started target. It ends when this is dropped.
pub struct Running {
    /// The address that it serves.
    pub addr: SocketAddr,
    /// The id of its process.
    pub pid: u32,
    _guard: Box<dyn Send>,
}

/// A feature that some hosts lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Distinguishing refused connections (never delivered, any method is retried) from broken ones
    /// (delivery unknown).
    RefusedConnections,
    /// Passing paths with dot segments, backslashes and characters such as `{` through unchanged.
    OddPaths,
    /// Accepting requests such as `GET http://host/path`.
    AbsoluteForm,
    /// Removing the headers that `Connection` names.
    ConnectionHeader,
    /// Keeping bytes of headers that are not UTF-8.
    OddBytes,
    /// Sending each attempt once.
    SingleSends,
    /// Small buffers for uploads.
    SmallUploadBuffers,
    /// Distinguishing streamed uploads that the client aborts from those that the server aborts.
    AbortedUploads,
    /// Rejecting hostnames such as `xn--a`, which are no valid international names.
    InvalidPunycode,
}

/// The limits of each host, and their reasons. Those of the Worker hold on the newest workerd, too.
pub const LIMITS: [(Host, Limit, &str); 9] = [
    (
        Host::Worker,
        Limit::RefusedConnections,
        "fetch of workerd throws the same exception for refused and for broken connections",
    ),
    (
        Host::Worker,
        Limit::AbortedUploads,
        "fetch of workerd throws the same exception for both, and `request.signal` sees only resets by the client",
    ),
    (Host::Worker, Limit::OddPaths, "workerd parses every URL by the WHATWG standard, which normalizes these"),
    (Host::Worker, Limit::AbsoluteForm, "workerd responds to such requests itself, with a 500"),
    (Host::Worker, Limit::ConnectionHeader, "a Worker does not receive Connection"),
    (Host::Worker, Limit::OddBytes, "workerd decodes headers as UTF-8, and replaces other bytes"),
    (
        Host::WorkerNewest,
        Limit::SingleSends,
        "workerd repeats an idempotent request without a body once if its reused connection breaks",
    ),
    (
        Host::WorkerNewest,
        Limit::SmallUploadBuffers,
        "workerd keeps about 1 MB of each upload, also for a script that only calls fetch",
    ),
    (Host::WorkerNewest, Limit::InvalidPunycode, "the URL class of workerd accepts such names"),
];

impl Host {
    /// All hosts.
    pub const ALL: [Self; 3] = [Self::Worker, Self::WorkerNewest, Self::Native];

    /// Returns the first part of the names of its tests.
    pub fn name(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::WorkerNewest => "worker_newest",
            Self::Native => "native",
        }
    }

    /// Returns whether what is stated for `other` holds for this host.
    pub fn is(self, other: Self) -> bool {
        self == other || (self, other) == (Self::WorkerNewest, Self::Worker)
    }

    /// Finds the programs of the host, or returns how to build them.
    pub fn find(self) -> Result<Target, String> {
        match self {
            Self::Worker => BuiltWorker::find().map(Target::Worker),
            Self::WorkerNewest => BuiltWorker::find_newest().map(Target::Worker),
            Self::Native => Proxy::find().map(Target::Native),
        }
    }
}

impl Target {
    /// Returns the kind of host.
    pub fn host(&self) -> Host {
        match self {
            Self::Worker(worker) if worker.is_newest() => Host::WorkerNewest,
            Self::Worker(_) => Host::Worker,
            Self::Native(_) | Self::NativeWithAdmin(_) => Host::Native,
        }
    }

    /// Returns the target with the token of operators.
    #[must_use]
    pub fn with_control_token(self) -> Self {
        match self {
            Self::Worker(worker) => Self::Worker(worker.with_secret(CONTROL_TOKEN.0, CONTROL_TOKEN.1)),
            Self::Native(proxy) | Self::NativeWithAdmin(proxy) => {
                Self::NativeWithAdmin(proxy.with_env(&[CONTROL_TOKEN]))
            }
        }
    }

    /// Starts it with a configuration. Its output is written to `log`.
    pub async fn start(&self, yaml: &str, log: &Log) -> Result<Running, String> {
        match self {
            Self::Worker(worker) => {
                let (addr, process) = worker.start(yaml, 0, log).await?;
                Ok(Running { addr, pid: process.id(), _guard: Box::new(process) })
            }
            Self::Native(proxy) | Self::NativeWithAdmin(proxy) => {
                // As behind Cloudflare, so that both hosts get the address of a client in the same
                // way.
                let mut arguments = vec!["--client-ip-header", "cf-connecting-ip"];
                if matches!(self, Self::NativeWithAdmin(_)) {
                    arguments.extend(["--admin", "127.0.0.1:0"]);
                }
                let started = proxy.start(yaml, &arguments, log).await;
                let process = started.map_err(|rejection| rejection.to_string())?;
                Ok(Running { addr: process.addrs()[0], pid: process.id(), _guard: Box::new(process) })
            }
        }
    }

    /// Returns whether it has no [`Limit::InvalidPunycode`].
    pub fn rejects_invalid_punycode(&self) -> bool {
        self.can(Limit::InvalidPunycode)
    }

    /// Returns whether it has no [`Limit::RefusedConnections`].
    pub fn sees_refused_connections(&self) -> bool {
        self.can(Limit::RefusedConnections)
    }

    /// Returns whether it has no [`Limit::OddPaths`].
    pub fn keeps_odd_paths(&self) -> bool {
        self.can(Limit::OddPaths)
    }

    /// Returns whether it has no [`Limit::AbsoluteForm`].
    pub fn takes_absolute_form(&self) -> bool {
        self.can(Limit::AbsoluteForm)
    }

    /// Returns whether it has no [`Limit::ConnectionHeader`].
    pub fn sees_connection_header(&self) -> bool {
        self.can(Limit::ConnectionHeader)
    }

    /// Returns whether it has no [`Limit::OddBytes`].
    pub fn keeps_odd_bytes(&self) -> bool {
        self.can(Limit::OddBytes)
    }

    /// Returns whether it has no [`Limit::SingleSends`].
    pub fn sends_each_attempt_once(&self) -> bool {
        self.can(Limit::SingleSends)
    }

    /// Returns whether it has no [`Limit::SmallUploadBuffers`].
    pub fn has_small_upload_buffers(&self) -> bool {
        self.can(Limit::SmallUploadBuffers)
    }

    /// Returns whether it has no [`Limit::AbortedUploads`].
    pub fn sees_aborted_uploads(&self) -> bool {
        self.can(Limit::AbortedUploads)
    }

    fn can(&self, what: Limit) -> bool {
        !LIMITS.iter().any(|(host, limit, _)| self.host().is(*host) && *limit == what)
    }
}
