//! The state changes of servers, for the log and for those that subscribe.

use std::sync::Arc;

use tokio::sync::broadcast;
use tunnel_balancer_core::{Event, LogEntry, Pool};

use crate::log;

/// A state change of a server of a pool.
#[derive(Clone, Debug)]
pub(crate) struct ServerChange {
    /// The pool at that time. A reload may have replaced it since.
    pub(crate) pool: Arc<Pool>,
    /// The change.
    pub(crate) event: Event,
}

/// The state changes of all pools.
#[derive(Clone, Debug)]
pub(crate) struct Transitions(broadcast::Sender<ServerChange>);

impl Transitions {
    /// The number of changes that a subscriber may be behind. It misses older ones.
    const CAPACITY: usize = 1024;

    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(Self::CAPACITY))
    }

    /// Returns the changes from now on.
    pub(crate) fn subscribe(&self) -> broadcast::Receiver<ServerChange> {
        self.0.subscribe()
    }

    /// Emits the changes of a pool since the last call to the log, and then to the subscribers.
    pub(crate) fn emit(&self, pool: &Arc<Pool>) {
        for event in pool.update(|state| state.drain_events()) {
            log::emit(&LogEntry::transition(event, pool.service()));
            // Without a subscriber, the change is dropped.
            let _ = self.0.send(ServerChange { pool: Arc::clone(pool), event });
        }
    }
}
