//! Health that processes on other machines share with this one.
//!
//! A process sends its facts to a Worker and merges what the Worker responds with. Requests are not
//! involved: a task of its own does it, and works on the same pools.

mod client;
mod contact;
mod facts;
mod kv;
mod schedule;
mod worker;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use gethostname::gethostname;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tunnel_balancer_core::{Clock as _, PoolState};
use tunnel_balancer_state::{Push, SharedState};

use self::contact::Contact;
use self::facts::{ClockOffset, Isolation};
use self::schedule::Schedule;
use self::worker::Worker;
use crate::proxy::Proxy;

pub(crate) use self::client::Failure;
pub(crate) use self::kv::KvLink;
pub use self::kv::{KvNamespace, KvTarget};
pub use self::worker::{PushTarget, PushUrl};

/// Shares the health of a proxy until it is dropped.
#[derive(Debug)]
#[must_use = "sharing stops when this is dropped"]
pub(crate) struct SharedHealth(#[expect(dead_code, reason = "held for its drop")] JoinSet<()>);

impl SharedHealth {
    /// The longest time between two messages of a proxy.
    pub(crate) const SERVE_INTERVAL: Duration = Duration::from_secs(5);

    /// Starts to share the health of the current and all later services.
    ///
    /// Probes that are started later wait for the first exchange with each side, successful or not:
    /// about a server of which nothing is known one failed probe decides, for all other machines
    /// too.
    pub(crate) fn start(proxy: &Proxy, links: Vec<Link>, kv: Option<KvLink>) -> Self {
        let (mut tasks, ready) = (JoinSet::new(), CancellationToken::new());
        proxy.probe_after(ready.clone());
        // Canceled when the last link has dropped it.
        let first = Arc::new(ready.drop_guard());
        for link in links {
            tasks.spawn(link.run(Arc::clone(&first)));
        }
        if let Some(kv) = kv {
            tasks.spawn(kv.run(Arc::clone(&first)));
        }
        Self(tasks)
    }
}

/// A Worker, and what this process knows about its connection.
#[derive(Debug)]
pub(crate) struct Link {
    worker: Worker,
    proxy: Arc<Proxy>,
    schedule: Schedule,
    offset: ClockOffset,
    isolation: Isolation,
    contact: Contact,
}

impl Link {
    /// Creates the connection to a Worker. A message is sent at this interval at least.
    ///
    /// # Errors
    /// If the root certificates of the machine cannot be read.
    pub(crate) fn new(target: PushTarget, proxy: &Arc<Proxy>, interval: Duration) -> io::Result<Self> {
        Ok(Self {
            worker: Worker::new(target, sender())?,
            proxy: Arc::clone(proxy),
            schedule: Schedule::new(interval),
            offset: ClockOffset::default(),
            isolation: Isolation::new(time_of_day(proxy)),
            contact: Contact::default(),
        })
    }

    /// Sends messages without end.
    async fn run(mut self, first: Arc<DropGuard>) {
        let (mut transitions, mut first) = (self.proxy.transitions().subscribe(), Some(first));
        loop {
            let wait = self.schedule.next_at().since(self.proxy.clock.now());
            tokio::select! {
                _ = transitions.recv() => self.schedule.on_transition(self.proxy.clock.now()),
                () = tokio::time::sleep(wait) => {
                    let result = self.exchange().await;
                    drop(first.take());
                    let (now, random) = (self.proxy.clock.now(), fastrand::f64());
                    match result {
                        Ok(()) => self.schedule.on_success(now, random),
                        Err(failure) => self.schedule.on_failure(now, failure.retry_after(), random),
                    }
                }
            }
        }
    }

    /// Sends the facts of this process and merges those of the Worker.
    pub(crate) async fn exchange(&mut self) -> Result<(), Failure> {
        let mut state = self.send().await?;
        self.offset.to_clock(&mut state);
        state.merge_into(&self.proxy.services(), PoolState::MAX_FACT_AGE, self.proxy.clock.now());
        Ok(())
    }

    /// Sends the facts of this process. Returns those of the Worker.
    pub(crate) async fn send(&mut self) -> Result<SharedState, Failure> {
        let state = self.facts();
        let result = self.worker.exchange(state, self.proxy.clock).await;
        match &result {
            Err(Failure::Unreachable(_)) => self.isolation.on_unreachable(),
            _ => self.isolation.on_contact(time_of_day(&self.proxy)),
        }
        let error = result.as_ref().err().map(|failure| failure.detail().to_owned());
        self.proxy.exchanges.record(error, self.proxy.clock.now());
        self.contact.record(result.as_ref().err(), &self.worker.name(), self.proxy.clock.now());
        result
    }

    /// Returns the facts of this process.
    fn facts(&mut self) -> SharedState {
        let now = self.proxy.clock.now();
        self.offset.update(now, time_of_day(&self.proxy));
        let mut state = SharedState::export(&self.proxy.services(), &self.worker.sender, now);
        self.offset.to_time_of_day(&mut state);
        self.isolation.hide_own_failures(&mut state);
        state
    }
}

/// Returns the time of day in milliseconds since 1970.
fn time_of_day(proxy: &Proxy) -> u64 {
    u64::try_from(proxy.clock.unix_time().as_millis()).unwrap_or_default()
}

/// Returns the name of this process: that of its machine, and a random suffix.
fn sender() -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let host: String = gethostname().to_string_lossy().chars().filter(is_plain).collect();
    let suffix = format!("-{:08x}", fastrand::u32(..));
    let room = Push::MAX_SENDER - suffix.len();
    format!("{}{suffix}", &host[..host.len().min(room)])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_two_processes_differ() {
        let (one, other) = (sender(), sender());
        assert!(one != other && one.len() <= Push::MAX_SENDER && one.is_ascii(), "{one}");
    }
}
