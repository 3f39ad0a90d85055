//! Announces outages: one task that observes the pools and sends what is due.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use http::{Method, Request};
use http_body_util::Full;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{interval, sleep, timeout};
use tunnel_balancer_core::{Clock as _, Pool, Reason, ServerTls};
use tunnel_balancer_state::{Delivery, DeliveryError, Notice, Notifications, NotifyTarget, ServiceReading};
use tunnel_balancer_tokio::host::RequestBody;
use tunnel_balancer_tokio::host::Transport;
use tunnel_balancer_tokio::host::error;

use crate::control::Sections;
use crate::log;
use crate::proxy::Proxy;
use crate::transitions::ServerChange;

/// The section of the state file.
const SECTION: &str = "notifications";

/// A handle to the task. It ends when the handle is dropped.
#[derive(Debug)]
pub(crate) struct Notifier {
    targets: Vec<NotifyTarget>,
    commands: mpsc::UnboundedSender<Command>,
    task: JoinHandle<()>,
}

#[derive(Debug)]
enum Command {
    /// Uses other targets.
    Configure(Vec<NotifyTarget>),
    /// Announces a change of an operator.
    Announce(Notice),
    /// Sends what is due, and ends.
    Stop,
}

impl Notifier {
    /// The time for the last deliveries at shutdown.
    const STOP_TIMEOUT: Duration = Duration::from_secs(3);

    /// Starts to observe the services of `proxy`. Notices that are not delivered yet, and the known
    /// outages, are stored in `file`.
    ///
    /// # Errors
    /// If the root certificates of the machine cannot be read.
    pub(crate) fn start(
        proxy: &Arc<Proxy>,
        targets: Vec<NotifyTarget>,
        file: Option<Arc<Sections>>,
    ) -> std::io::Result<Self> {
        let (commands, receiver) = mpsc::unbounded_channel();
        // Notifications are rare: no connection is kept.
        let transport = Transport::new(&ServerTls::default(), 0).map_err(std::io::Error::other)?;
        let stored = file.as_ref().and_then(|file| file.get(SECTION));
        // Another version of the program may have stored it. Then outages are announced again.
        let stored = stored.and_then(|stored| serde_json::from_value(stored).ok()).unwrap_or_default();
        let mut worker = Worker {
            proxy: Arc::clone(proxy),
            transport,
            targets: Vec::new(),
            state: Notifications::clone(&stored),
            file,
            stored,
            in_flight: JoinSet::new(),
        };
        worker.configure(targets.clone());
        Ok(Self { targets, commands, task: tokio::spawn(worker.run(receiver)) })
    }

    /// Announces changes of operators.
    pub(crate) fn announce(&self, notices: impl IntoIterator<Item = Notice>) {
        for notice in notices {
            let _ = self.commands.send(Command::Announce(notice));
        }
    }

    /// Uses other targets, after a reload of the configuration. Returns whether they differ.
    pub(crate) fn configure(&mut self, targets: Vec<NotifyTarget>) -> bool {
        let is_changed = targets != self.targets;
        self.targets.clone_from(&targets);
        // The task has ended only if it panicked.
        let _ = self.commands.send(Command::Configure(targets));
        is_changed
    }

    /// Sends what is due, and ends the task.
    pub(crate) async fn stop(mut self) {
        let _ = self.commands.send(Command::Stop);
        let _ = timeout(Self::STOP_TIMEOUT, &mut self.task).await;
    }
}

impl Drop for Notifier {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The state of the task.
struct Worker {
    proxy: Arc<Proxy>,
    transport: Transport,
    targets: Vec<NotifyTarget>,
    state: Notifications,
    /// The state file, and what it has.
    file: Option<Arc<Sections>>,
    stored: Notifications,
    in_flight: JoinSet<(Delivery, Result<(), DeliveryError>)>,
}

impl Worker {
    /// The time between two observations of all servers. Changes that are logged are observed at
    /// once; this covers reloads.
    const INTERVAL: Duration = Duration::from_secs(5);

    /// The wait while nothing is pending.
    const IDLE: Duration = Duration::from_secs(3600);

    /// The timeout of a request. It is shorter than [`Notifications::LEASE`].
    const TIMEOUT: Duration = Duration::from_secs(10);

    async fn run(mut self, mut commands: mpsc::UnboundedReceiver<Command>) {
        let mut changes = self.proxy.transitions().subscribe();
        let mut observation = interval(Self::INTERVAL);
        loop {
            self.send_due();
            self.store();
            let next = self.state.next_due(&self.targets).map(|at| at.saturating_sub(self.now()));
            // `next` is never 0 for long: what is due is in flight.
            let wait = next.map_or(Self::IDLE, |wait| Duration::from_millis(wait.max(10)));
            let timer = pin!(sleep(wait));
            tokio::select! {
                command = commands.recv() => match command {
                    Some(Command::Configure(targets)) => self.configure(targets),
                    Some(Command::Announce(notice)) => self.state.push(&self.targets, notice, self.now()),
                    Some(Command::Stop) => break,
                    None => return,
                },
                // A receiver that lags misses reasons, but no change: states are compared.
                change = changes.recv() => change.into_iter().for_each(|change| self.observe_change(&change)),
                Some(result) = self.in_flight.join_next() => self.settle(result.ok()),
                _ = observation.tick(), if !self.targets.is_empty() => self.observe_all(),
                () = timer => {}
            }
        }
        self.observe_all();
        self.send_due();
        self.store();
        while let Some(result) = self.in_flight.join_next().await {
            self.settle(result.ok());
            self.store();
        }
    }

    /// Stores what must survive a restart, if it has changed.
    fn store(&mut self) {
        let Some(file) = &self.file else { return };
        let state = self.state.without_heartbeats();
        if state != self.stored
            && let Ok(value) = serde_json::to_value(&state)
        {
            file.set(SECTION, value);
            self.stored = state;
        }
    }

    fn now(&self) -> u64 {
        self.proxy.clock.now().as_millis()
    }

    fn configure(&mut self, targets: Vec<NotifyTarget>) {
        let services = self.proxy.services();
        let is_service = |name: &str| services.pools().any(|pool| pool.service().name() == name);
        self.state.retain(&targets, is_service);
        self.targets = targets;
        self.observe_all();
    }

    fn observe_all(&mut self) {
        let services = self.proxy.services();
        services.pools().for_each(|pool| self.observe(pool, None));
    }

    fn observe_change(&mut self, change: &ServerChange) {
        let services = self.proxy.services();
        let name = change.pool.service().name();
        // A reload may have replaced the pool. Then the change has a server of the old one.
        if let Some(pool) = services.pools().find(|pool| pool.service().name() == name) {
            self.observe(pool, Some(change).filter(|change| Arc::ptr_eq(pool, &change.pool)));
        }
    }

    fn observe(&mut self, pool: &Pool, change: Option<&ServerChange>) {
        let now = self.proxy.clock.now();
        let events = change.map(|change| change.event);
        let reading = ServiceReading::of(pool, events.as_slice(), now);
        self.state.observe(&self.targets, &reading, now.as_millis());
    }

    fn send_due(&mut self) {
        for delivery in self.state.due(&self.targets, self.now()) {
            let transport = self.transport.clone();
            self.in_flight.spawn(async move {
                let result = timeout(Self::TIMEOUT, send(&transport, &delivery)).await;
                let result = result.unwrap_or_else(|_| Err(DeliveryError::new(Reason::Timeout)));
                (delivery, result)
            });
        }
    }

    fn settle(&mut self, result: Option<(Delivery, Result<(), DeliveryError>)>) {
        let Some((delivery, result)) = result else { return };
        let error = result.as_ref().err().cloned();
        if let Some(settled) = self.state.on_result(&delivery.id, result, self.now()) {
            log::emit(&settled.log_entry(&delivery, error.as_ref()));
        }
    }
}

/// Sends a request, and returns the result of its response. Redirects are not followed.
async fn send(transport: &Transport, delivery: &Delivery) -> Result<(), DeliveryError> {
    let request = request(delivery).ok_or_else(|| DeliveryError::new(Reason::InvalidRequest))?;
    let response = transport.send(request).await.map_err(|error| {
        let reason = if error.is_connect() { Reason::ConnectFailed } else { Reason::ConnectionLost };
        DeliveryError::new(reason).with_detail(error::cause(&error))
    })?;
    let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    DeliveryError::check(response.status().as_u16(), retry_after)
}

/// Returns the request of a delivery. `None` if the URL or a header is invalid.
fn request(delivery: &Delivery) -> Option<Request<RequestBody>> {
    let body = match delivery.body.as_str() {
        "" => RequestBody::Empty,
        body => RequestBody::Buffered(Full::new(Bytes::copy_from_slice(body.as_bytes())), None),
    };
    let mut request = Request::new(body);
    *request.method_mut() = Method::from_bytes(delivery.method.as_bytes()).ok()?;
    *request.uri_mut() = delivery.url.parse().ok()?;
    for (name, value) in &delivery.headers {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        request.headers_mut().insert(HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(request)
}
