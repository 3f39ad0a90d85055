//! The services of the isolate: parsed once and kept for its lifetime.
//!
//! The variable `SERVICES_YAML` overrides the text module `services.yaml`. If the variable is
//! invalid, the module is used.

use std::iter;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use tunnel_balancer_config::{Available, Platform, parse_available};
use tunnel_balancer_core::{Clock as _, LogEntry, Reason, Service, Services, Timestamp, headers};
use tunnel_balancer_state::control::{Change, Override, Overrides};
use tunnel_balancer_state::{HealthSharing, NotifyTarget};
use tunnel_balancer_status::StatusSettings;
use worker::js_sys::{self, Reflect};
use worker::{Env, web_sys};

use crate::clock::JsClock;
use crate::{glue, log, random};

/// The text variable that overrides the module.
const VARIABLE: &str = "SERVICES_YAML";

/// The name of the module.
const MODULE: &str = "services.yaml";

/// The global variable in which `configure` of `js/index.js` keeps the text of the module.
const MODULE_TEXT: &str = "__tunnelBalancerServices";

/// The configuration of an isolate, and its pools. Plain data that belongs to no request.
#[derive(Debug)]
pub(crate) struct Loaded {
    /// The services as the configuration has them.
    configured: Vec<Service>,
    without_secrets: Vec<String>,
    /// The pools, with the changes of operators.
    pools: RwLock<Arc<Services>>,
    overrides: Mutex<Applied>,
    pub(crate) sharing: HealthSharing,
    pub(crate) notify: Vec<NotifyTarget>,
    pub(crate) status: Option<StatusSettings>,
    /// Whether the variable is invalid, so that the module is used.
    pub(crate) is_fallback: bool,
    /// When the isolate loaded it, in milliseconds since 1970.
    pub(crate) started: u64,
}

/// The changes of operators that the pools have.
#[derive(Debug, Default)]
struct Applied {
    overrides: Overrides,
    /// When this was, in milliseconds since 1970.
    at: u64,
}

/// A configuration that was read when the Worker was loaded. There are no random numbers then, the
/// clock shows 0, and a log entry belongs to no event.
#[derive(Debug)]
struct Prepared {
    /// The sources that are invalid or missing, and why.
    rejected: Vec<(&'static str, String)>,
    /// The source in use, its configuration, and its pools.
    valid: Option<(&'static str, Available, Services)>,
}

static LOADED: OnceLock<Option<Loaded>> = OnceLock::new();

static PREPARED: Mutex<Option<Prepared>> = Mutex::new(None);

/// Reads the configuration before the first event: the CPU time of a request is limited.
pub(crate) fn prepare(env: &Env) {
    *PREPARED.lock().unwrap_or_else(PoisonError::into_inner) = Some(Prepared::read(env));
}

/// Returns the configuration. `None` if there is no valid one. Errors are logged once.
pub(crate) fn load(env: &Env) -> Option<&'static Loaded> {
    let prepared = || PREPARED.lock().unwrap_or_else(PoisonError::into_inner).take();
    // An instance that replaces one that panicked reads it in an event.
    LOADED.get_or_init(|| prepared().unwrap_or_else(|| Prepared::read(env)).load()).as_ref()
}

impl Loaded {
    /// Reads another configuration, which is not that of the isolate.
    pub(crate) fn of(source: &'static str, text: &str) -> Option<Self> {
        Prepared::of(iter::once((source, text.to_owned())), &|_| None).load()
    }

    /// Returns the current pools.
    pub(crate) fn services(&self) -> Arc<Services> {
        Arc::clone(&self.pools.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns the services as the configuration has them.
    pub(crate) fn configured(&self) -> &[Service] {
        &self.configured
    }

    /// Returns other pools of the same services, without state and without changes of operators.
    pub(crate) fn new_pools(&self) -> Services {
        Services::new(self.configured.iter().cloned(), random::bits())
    }

    /// Adds changes of operators. The pools change if one is new, or if one has expired.
    pub(crate) fn apply(&self, overrides: &Overrides, now: Timestamp) {
        let mut applied = self.overrides.lock().unwrap_or_else(PoisonError::into_inner);
        let Applied { overrides: current, at } = &mut *applied;
        let is_unknown = |it: &&Override| !current.iter().any(|known| known == *it);
        let unknown: Vec<Override> = overrides.iter().filter(is_unknown).cloned().collect();
        // A document of the past, as from a cache, changes nothing.
        let is_new = current.merge(overrides);
        let has_expired = |it: &Override| it.is_in_force(*at) && !it.is_in_force(now.as_millis());
        if !is_new && !current.iter().any(has_expired) {
            return;
        }
        let services = apply(&self.services(), &self.configured, current, now);
        let services = services.with_missing_secrets(&self.without_secrets);
        release_failbacks(&services, &unknown, now);
        *self.pools.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(services);
        *at = now.as_millis();
    }

    /// Ends the changes of operators whose time is over, also while the store is unavailable.
    pub(crate) fn expire(&self, now: Timestamp) {
        let has_expired = {
            let Applied { overrides, at } = &*self.overrides.lock().unwrap_or_else(PoisonError::into_inner);
            overrides.iter().any(|it| it.is_in_force(*at) && !it.is_in_force(now.as_millis()))
        };
        if has_expired {
            self.apply(&Overrides::default(), now);
        }
    }

    /// Returns the changes of operators that the pools have.
    pub(crate) fn overrides(&self) -> Overrides {
        self.overrides.lock().unwrap_or_else(PoisonError::into_inner).overrides.clone()
    }
}

/// Returns the pools of the configured services with the changes of operators. Servers keep their
/// state.
pub(crate) fn apply(current: &Services, configured: &[Service], overrides: &Overrides, now: Timestamp) -> Services {
    let changed = configured.iter().map(|service| overrides.apply(service, now.as_millis()));
    current.reloaded(changed, random::bits(), now)
}

/// Lets traffic return in the services for which one of these changes requests it.
pub(crate) fn release_failbacks(services: &Services, changes: &[Override], now: Timestamp) {
    for change in changes.iter().filter(|change| change.change == Change::Failback) {
        let pools = services.pools().filter(|pool| pool.service().name() == change.service);
        pools.for_each(|pool| pool.update(|state| state.release_failback(now)));
    }
}

impl Prepared {
    /// Reads the configuration from the first source that is valid.
    fn read(env: &Env) -> Self {
        let secret = |name: &str| env.secret(name).ok().map(|secret| secret.to_string());
        let variable = env.var(VARIABLE).ok().map(|variable| (VARIABLE, variable.to_string()));
        let module = Reflect::get(&js_sys::global(), &MODULE_TEXT.into()).ok().and_then(|text| text.as_string());
        let missing = module.is_none().then(|| "no such module: the entry did not call `configure`".to_owned());
        let mut prepared = Self::of(variable.into_iter().chain(module.map(|text| (MODULE, text))), &secret);
        match &prepared.valid {
            Some((_, read, _)) => set_unread_headers(&read.config.services),
            None => prepared.rejected.extend(missing.map(|missing| (MODULE, missing))),
        }
        prepared
    }

    /// Reads the first of these sources that is valid.
    fn of(sources: impl Iterator<Item = (&'static str, String)>, secret: &dyn Fn(&str) -> Option<String>) -> Self {
        let mut rejected = Vec::new();
        for (source, text) in sources {
            match parse_available(&text, Platform::Worker, secret, &domain_to_ascii) {
                Ok(read) => {
                    let services = Services::new(read.config.services.iter().cloned(), 0);
                    return Self { rejected, valid: Some((source, read, services)) };
                }
                Err(errors) => rejected.push((source, errors.in_file(source).to_string())),
            }
        }
        Self { rejected, valid: None }
    }

    /// Logs what was read, and completes it.
    fn load(self) -> Option<Loaded> {
        let is_fallback = !self.rejected.is_empty();
        for (source, detail) in self.rejected {
            log::write(&LogEntry::config_rejected(source, Reason::InvalidConfig, detail));
        }
        let (source, read, services) = self.valid?;
        services.reseed(random::bits());
        log::write(&LogEntry::config_loaded(&services, source));
        if let Some(errors) = read.errors {
            if read.status_without_secret {
                log::write(&LogEntry::status_without_secret(source, errors.in_file(source).to_string()));
            }
            for address in &read.without_secrets {
                log::write(&LogEntry::missing_secret(address, source, errors.in_file(source).to_string()));
            }
        }
        Some(Loaded {
            configured: read.config.services,
            pools: RwLock::new(Arc::new(services.with_missing_secrets(&read.without_secrets))),
            without_secrets: read.without_secrets,
            overrides: Mutex::default(),
            sharing: read.config.health_sharing,
            notify: read.config.notify,
            status: read.config.status,
            is_fallback,
            started: JsClock.now().as_millis(),
        })
    }
}

/// Sets the headers that are not read from JavaScript: those that no service names.
fn set_unread_headers(services: &[Service]) {
    let [of_requests, of_responses] = [&headers::UNREAD_REQUEST_HEADERS[..], &headers::UNREAD_RESPONSE_HEADERS[..]]
        .map(|names| {
            let mut unread = names.to_vec();
            for named in services.iter().flat_map(Service::named_headers) {
                unread.retain(|name| !headers::canonical(named).eq_ignore_ascii_case(name));
            }
            unread.join("\n")
        });
    glue::set_unread(&of_requests, &of_responses);
}

/// Returns the ASCII form of an international hostname. The runtime has the tables for it.
fn domain_to_ascii(name: &str) -> Option<String> {
    let url = web_sys::Url::new(&format!("https://{name}")).ok()?;
    Some(url.hostname())
}
