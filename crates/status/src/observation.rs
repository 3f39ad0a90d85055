//! What a host passes to a view.

use tunnel_balancer_core::{Minute, Pool, PoolStatus, Service, ServiceState, Timestamp};
use tunnel_balancer_state::History;
use tunnel_balancer_state::control::Overrides;

/// The state of a balancer at one time.
#[derive(Clone, Debug)]
pub struct Observation<'a> {
    /// The time, in milliseconds since 1970.
    pub now: u64,
    /// The process.
    pub balancer: Balancer,
    /// How health is shared with other processes.
    pub sharing: Sharing,
    /// The services, with the changes of operators: see
    /// [`View::observe`](crate::View::observe).
    pub services: Vec<ServiceObservation<'a>>,
    /// The changes of operators.
    pub overrides: &'a Overrides,
    /// What happened. `None`: there is no history, or the view does not need it.
    pub history: Option<&'a History>,
    /// When the history began, in milliseconds since 1970. `None`: there is none.
    pub history_since: Option<u64>,
}

/// The process that responds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Balancer {
    /// The program.
    pub host: Host,
    /// Its version.
    pub version: &'static str,
    /// When it started, in milliseconds since 1970.
    pub started: u64,
    /// Whether a newer configuration was rejected.
    pub config_rejected: bool,
}

/// The programs that serve traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Host {
    /// The Worker, of which each isolate has counters of its own.
    Worker,
    /// `tunnel-balancer serve`.
    #[default]
    Serve,
}

/// How health is shared with other processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sharing {
    /// The mode, such as `durable_object`.
    pub mode: &'static str,
    /// The time since the last exchange, in milliseconds. `None`: there was none.
    pub age_ms: Option<u64>,
    /// Why the last exchange failed.
    pub error: Option<String>,
}

/// A service and its state.
#[derive(Clone, Debug)]
pub struct ServiceObservation<'a> {
    pub(crate) service: &'a Service,
    pub(crate) status: PoolStatus,
    /// The last minutes of each server. Empty if they are not shown.
    pub(crate) minutes: Vec<Vec<Minute>>,
}

impl Host {
    /// Returns the name of the program.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Serve => "serve",
        }
    }

    /// Returns what the counters cover.
    pub(crate) const fn counts_of(self) -> &'static str {
        match self {
            Self::Worker => "isolate",
            Self::Serve => "process",
        }
    }
}

impl<'a> ServiceObservation<'a> {
    /// Observes a pool. `is_detailed` is whether its last minutes are shown.
    pub(crate) fn of(pool: &'a Pool, is_detailed: bool, now: Timestamp) -> Self {
        let service = pool.service();
        pool.update(|state| {
            let status = state.status(now);
            let ids = service.all().iter().filter(|_| is_detailed);
            Self { service, status, minutes: ids.map(|id| state.minutes(id, now)).collect() }
        })
    }

    /// Returns the state of the service.
    pub(crate) const fn state(&self) -> ServiceState {
        self.status.state
    }
}
