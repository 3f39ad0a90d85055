//! File descriptors: the limit of the process, and what clients may use of it.
//!
//! Clients decide how many connections and requests there are. If they used all descriptors, no
//! connection to a server could be opened, and requests of other clients would fail. So both are
//! bounded, and the rest is a reserve for probes, retries, idle connections and files.

use crate::options::Limits;

/// The numbers that fit the limit of descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shares {
    /// The maximum number of client connections.
    pub(crate) connections: usize,
    /// The maximum number of requests in flight. Each may need a connection to a server.
    pub(crate) requests: usize,
    /// The maximum number of streams of an HTTP/2 connection, so that a few connections cannot use
    /// all requests.
    pub(crate) streams: u32,
    /// The maximum number of idle connections to a server.
    pub(crate) idle: usize,
}

impl Shares {
    /// Returns the shares of `descriptors`, within the configured limits.
    fn new(descriptors: usize, limits: &Limits) -> Self {
        let share = (descriptors / 8 * 3).max(1).min(limits.connections);
        let streams = (share / 16).clamp(8, 100);
        Self {
            connections: share,
            requests: share,
            streams: u32::try_from(streams).unwrap_or(100),
            idle: (descriptors / 32).max(1),
        }
    }

    /// Returns the shares of the current limit of the process.
    pub(crate) fn of_process(limits: &Limits) -> Self {
        Self::new(soft_limit(), limits)
    }
}

/// Returns the number of descriptors that this process may have.
#[cfg(unix)]
pub(crate) fn soft_limit() -> usize {
    use rustix::process::{Resource, getrlimit};

    let limit = getrlimit(Resource::Nofile).current.and_then(|limit| usize::try_from(limit).ok());
    limit.unwrap_or(usize::MAX)
}

/// Windows limits sockets by memory alone.
#[cfg(not(unix))]
pub(crate) fn soft_limit() -> usize {
    usize::MAX
}

/// Raises the soft limit to the hard one. If that is not permitted, the limit stays.
#[cfg(unix)]
pub(crate) fn raise_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    /// Some kernels reject an infinite limit.
    const ENOUGH: u64 = 1 << 20;

    let limit = getrlimit(Resource::Nofile);
    let raised = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    if limit.current.is_some_and(|current| current < raised) {
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(raised), maximum: limit.maximum });
    }
}

#[cfg(not(unix))]
pub(crate) fn raise_limit() {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_requests_leave_a_reserve() {
        let limits = Limits::default();
        let shares = Shares::new(1024, &limits);
        assert_eq!(shares, Shares { connections: 384, requests: 384, streams: 24, idle: 32 });
        assert_eq!(
            Shares::new(524_288, &limits),
            Shares { connections: 10_000, requests: 10_000, streams: 100, idle: 16_384 }
        );
        let few = Shares::new(1024, &Limits { connections: 2, ..limits });
        assert_eq!((few.connections, few.requests, few.streams), (2, 2, 8));
        assert_eq!(Shares::new(0, &limits), Shares { connections: 1, requests: 1, streams: 8, idle: 1 });
    }
}
