//! What a case drives: any host of the balancer.
//!
//! A case knows a target by its address and its log. To add one (the native proxy), add a variant, say how it starts, and
//! list it in `conformance/main.rs`; where hosts are bound to differ, a question such as
//! [`sees_refused_connections`](Target::sees_refused_connections) says how, so that the difference is written down once.

use std::net::SocketAddr;

use crate::log::Log;
use crate::workerd::BuiltWorker;

/// The secret that every target is started with, and its value: a configuration writes `"${AFFINITY_KEY}"`.
pub const SECRET: (&str, &str) = ("AFFINITY_KEY", "a key that only this suite knows");

/// A kind of host.
#[derive(Clone, Debug)]
pub enum Target {
    /// The built Worker on workerd.
    Worker(BuiltWorker),
}

/// A started target. It ends when this is dropped.
pub struct Running {
    /// Where it serves.
    pub addr: SocketAddr,
    /// Its process.
    pub pid: u32,
    _guard: Box<dyn Send>,
}

impl Target {
    /// First part of the names of its tests.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Worker(_) => "worker",
        }
    }

    /// Starts it with a configuration; it writes to `log`.
    pub async fn start(&self, yaml: &str, log: &Log) -> Result<Running, String> {
        match self {
            Self::Worker(worker) => {
                let (addr, process) = worker.start(yaml, 0, log).await?;
                Ok(Running { addr, pid: process.id(), _guard: Box::new(process) })
            }
        }
    }

    /// Whether it can tell "connection refused" (never delivered, any method may go elsewhere) from a broken connection
    /// (unknown). The `fetch` of workerd gives the same exception for both.
    pub fn sees_refused_connections(&self) -> bool {
        match self {
            Self::Worker(_) => false,
        }
    }

    /// Whether paths reach servers with dot segments, backslashes and characters such as `{` as they were sent. workerd
    /// parses every URL as WHATWG says, and normalises these.
    pub fn keeps_odd_paths(&self) -> bool {
        match self {
            Self::Worker(_) => false,
        }
    }

    /// Whether requests such as `GET http://host/path` get as far as the balancer. workerd ends them itself, with a 500.
    pub fn takes_absolute_form(&self) -> bool {
        match self {
            Self::Worker(_) => false,
        }
    }
}
