//! Control at run time: the changes that operators made, applied to the configured services.
//!
//! [`Controller`] belongs to the loop of [`serve`](crate::serve()), so that changes, reloads and
//! the ends of changes never overlap. Requests arrive from the [`admin`] listener through a
//! channel.

pub(crate) mod admin;
mod state_file;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use tokio::time::Instant;
use tunnel_balancer_core::{Clock, Service, Services};
use tunnel_balancer_state::control::{Change, Control, ControlResponse, ListedService, Override};
use tunnel_balancer_state::{HistoryEntry, Notice};
use tunnel_balancer_status::{Balancer, Host, Observation};

use self::admin::Pending;
pub(crate) use self::state_file::Sections;
use self::state_file::StateFile;
use crate::config_diff;
use crate::health_checker::HealthChecker;
use crate::log;
use crate::proxy::Proxy;
use crate::status_endpoint::Viewing;
use crate::transitions::ServerChange;

/// What operators changed, before the proxy exists.
#[derive(Debug)]
pub(crate) struct Stored {
    control: Control,
    file: Option<StateFile>,
}

impl Stored {
    /// Reads the file of `--state-file`, if there is one.
    ///
    /// # Errors
    /// If its directory does not exist.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else { return Ok(Self { control: Control::default(), file: None }) };
        let (file, control) = StateFile::open(path)?;
        Ok(Self { control, file: Some(file) })
    }

    /// Returns configured services with the changes.
    pub(crate) fn apply(&self, configured: &[Service], now: Duration) -> Vec<Service> {
        let now = millis(now);
        configured.iter().map(|service| self.control.overrides.apply(service, now)).collect()
    }
}

/// The changes of operators, and the services that they change.
#[derive(Debug)]
pub(crate) struct Controller {
    proxy: Arc<Proxy>,
    /// The services as the configuration has them.
    configured: Vec<Service>,
    without_secrets: Vec<String>,
    control: Control,
    file: Option<StateFile>,
    transitions: Receiver<ServerChange>,
    /// When the history was added to that is not stored yet.
    unsaved_since: Option<Instant>,
    health_checks: HealthChecker,
    /// The changes that are not announced yet.
    notices: Vec<Notice>,
    /// When the process started, in milliseconds since 1970.
    started: u64,
}

impl Controller {
    /// The time for which transitions are collected before they are stored. Changes of operators
    /// are stored at once.
    const SAVE_INTERVAL: Duration = Duration::from_secs(10);

    /// Starts to probe the servers of the proxy, which has `configured` with the stored changes.
    pub(crate) fn new(
        proxy: &Arc<Proxy>,
        stored: Stored,
        configured: Vec<Service>,
        without_secrets: Vec<String>,
    ) -> Self {
        let Stored { mut control, file } = stored;
        let started = millis(proxy.clock.unix_time());
        // The beginning of the history is stored, too.
        let is_new = control.since == 0;
        control.begin(started);
        Self {
            proxy: Arc::clone(proxy),
            configured,
            without_secrets,
            control,
            file,
            transitions: proxy.transitions().subscribe(),
            unsaved_since: is_new.then(Instant::now),
            health_checks: proxy.start_health_checks(),
            notices: Vec::new(),
            started,
        }
    }

    /// Returns the changes of operators since the last call, for notifications.
    pub(crate) fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    /// Uses another configuration, with the changes. Returns the previous services.
    pub(crate) fn reload(&mut self, configured: Vec<Service>, without_secrets: Vec<String>) -> Arc<Services> {
        let old = self.proxy.services();
        (self.configured, self.without_secrets) = (configured, without_secrets);
        let changed = self.changed_services();
        self.proxy.reload(changed, &self.without_secrets);
        self.health_checks = self.proxy.start_health_checks();
        old
    }

    /// Responds to a request of an operator. Its change is in effect, and stored, before.
    pub(crate) async fn handle(&mut self, pending: Pending) {
        self.record_transitions();
        let services = self.proxy.services();
        let handled = {
            let listed = self.configured.iter().map(|service| self.listed(service, &services));
            let listed: Vec<ListedService<'_>> = listed.collect();
            self.control.respond(pending.request(), &listed, self.now())
        };
        let mut response = handled.response;
        if !handled.changed.is_empty() {
            self.apply(&handled.changed);
            self.notices.extend(handled.changed.iter().map(|change| change.notice(false)));
            if let Err(error) = self.save().await {
                response = response.with_warning(&format!("the change is lost at a restart: {error}"));
            }
        }
        self.respond(pending, response);
    }

    /// Makes a view of the status endpoint.
    pub(crate) fn show(&mut self, viewing: Viewing) {
        self.record_transitions();
        let services = self.proxy.services();
        let now = self.now();
        let seen = Observation {
            now,
            balancer: Balancer {
                host: Host::Serve,
                version: env!("CARGO_PKG_VERSION"),
                started: self.started,
                config_rejected: self.proxy.is_config_rejected(),
            },
            sharing: self.proxy.exchanges.sharing(self.proxy.clock.now()),
            services: viewing.view.observe(&services, &self.configured, self.proxy.clock.now()),
            overrides: &self.control.overrides,
            history: Some(&self.control.history),
            history_since: self.control.history_since(now),
        };
        // The client may have disconnected.
        let _ = viewing.reply.send(viewing.view.render(&seen));
    }

    /// Ends changes whose time is over, takes over those that another process stored, and stores
    /// the history. To be called about once a second.
    pub(crate) async fn tick(&mut self) {
        let expired = self.control.expire(self.now());
        if !expired.is_empty() {
            expired.iter().for_each(log::control_expired);
            self.notices.extend(expired.iter().map(|change| change.notice(true)));
            self.apply_services();
        }
        let stored = self.file.as_mut().and_then(StateFile::poll);
        let is_stale = stored.as_ref().is_some_and(|stored| self.take_over(stored));
        self.record_transitions();
        let is_changed = self.file.as_ref().is_some_and(StateFile::has_changed_sections);
        let is_due = self.unsaved_since.is_some_and(|since| since.elapsed() >= Self::SAVE_INTERVAL);
        if is_due || is_stale || is_changed || !expired.is_empty() {
            // The error is logged, and the next change is stored with all earlier ones.
            let _ = self.save().await;
        }
    }

    /// Stores the history, before the proxy stops.
    pub(crate) async fn save_history(&mut self) {
        self.record_transitions();
        let is_changed = self.file.as_ref().is_some_and(StateFile::has_changed_sections);
        if is_changed || self.unsaved_since.is_some() {
            let _ = self.save().await;
        }
    }

    /// Returns the sections of the file that other parts of the proxy store.
    pub(crate) fn sections(&self) -> Option<Arc<Sections>> {
        self.file.as_ref().map(StateFile::sections)
    }

    fn now(&self) -> u64 {
        millis(self.proxy.clock.unix_time())
    }

    fn changed_services(&self) -> Vec<Service> {
        let now = self.now();
        self.configured.iter().map(|service| self.control.overrides.apply(service, now)).collect()
    }

    fn listed<'a>(&self, service: &'a Service, services: &Services) -> ListedService<'a> {
        let is_same = |pool: &Service| pool.host == service.host && pool.path == service.path;
        let pool = services.pools().find(|pool| is_same(pool.service()));
        let status = pool.map(|pool| pool.update(|state| state.status(self.proxy.clock.now()).servers));
        ListedService { service, status: status.unwrap_or_default() }
    }

    /// Logs changes and puts them into effect.
    fn apply(&mut self, changed: &[Override]) {
        changed.iter().for_each(log::control_changed);
        self.apply_services();
        for failback in changed.iter().filter(|it| it.change == Change::Failback) {
            self.proxy.release_failback(|service| service.name() == failback.service);
        }
    }

    fn apply_services(&mut self) {
        let old = self.proxy.services();
        self.proxy.replace_services(self.changed_services(), &self.without_secrets);
        self.health_checks = self.proxy.start_health_checks();
        config_diff::ended_states(&old, &self.proxy.services()).iter().for_each(log::emit);
    }

    /// Merges what another process stored. Returns whether the file lacks something.
    fn take_over(&mut self, stored: &Control) -> bool {
        let before = self.control.overrides.clone();
        self.control.merge(stored, self.now());
        let new = self.control.overrides.iter().filter(|it| !before.iter().any(|old| old == *it));
        let new: Vec<Override> = new.cloned().collect();
        if !new.is_empty() {
            self.apply(&new);
        }
        self.control.overrides != stored.overrides
    }

    fn record_transitions(&mut self) {
        loop {
            match self.transitions.try_recv() {
                Ok(ServerChange { pool, event }) => {
                    let entry = HistoryEntry::transition(event, pool.service());
                    self.control.history.push(entry, self.now());
                    self.unsaved_since.get_or_insert_with(Instant::now);
                }
                // The log has those that were missed.
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    async fn save(&mut self) -> Result<(), String> {
        self.unsaved_since = None;
        let Some(file) = &mut self.file else { return Ok(()) };
        file.save(&self.control).await.inspect_err(|error| log::state_file_failed(&file.name(), error))
    }

    fn respond(&self, pending: Pending, response: ControlResponse) {
        // The client may have disconnected.
        let _ = pending.reply.send(response);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
