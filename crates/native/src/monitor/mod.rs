//! A monitor: probes all servers as `serve` does without traffic, and shares the results.

mod once;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tunnel_balancer_core::Services;
use tunnel_balancer_state::NotifyTarget;

use crate::config_file::ConfigFile;
use crate::descriptors;
use crate::log;
use crate::notifier::Notifier;
use crate::options::Limits;
use crate::peer::TrustedProxies;
use crate::proxy::Proxy;
use crate::serve::{StartError, apply_config, open_config};
use crate::shared_health::{Failure, KvLink, KvTarget, Link, PushTarget, SharedHealth};
use crate::signals::{Shutdown, Signal};

/// The options of [`monitor`].
#[derive(Clone, Debug)]
pub struct MonitorOptions {
    /// The configuration file.
    pub file: PathBuf,
    /// The Workers with which health is shared.
    pub push: Vec<PushTarget>,
    /// The namespace of Workers KV to which health is written.
    pub kv: Option<KvTarget>,
    /// The longest time between two messages.
    pub interval: Duration,
}

/// Probes the servers of a configuration until SIGTERM or SIGINT, and shares their health. SIGHUP
/// reloads the configuration.
///
/// # Errors
/// If it cannot start. Later errors are logged.
pub async fn monitor(options: MonitorOptions) -> Result<(), StartError> {
    let Start { mut file, proxy, links, kv, notify } = Start::new(options)?;
    let (mut shutdown, mut reload) = (Shutdown::new()?, Signal::reload()?);
    let shared_health = SharedHealth::start(&proxy, links, kv);
    let mut health_checks = proxy.start_health_checks();
    let mut notifier = Notifier::start(&proxy, notify, None).map_err(StartError::no_roots)?;
    let mut poll = tokio::time::interval(ConfigFile::POLL_INTERVAL);
    loop {
        let read = tokio::select! {
            () = shutdown.requested() => break,
            _ = poll.tick() => file.poll(),
            () = reload.received() => Some(file.reload()),
        };
        if let Some(read) = read {
            apply_config(&proxy, &file, &mut notifier, read, |config, without_secrets: Vec<String>| {
                let old = proxy.services();
                proxy.reload(config.services, &without_secrets);
                health_checks = proxy.start_health_checks();
                old
            });
        }
    }
    drop((health_checks, shared_health));
    notifier.stop().await;
    log::stopped(true);
    Ok(())
}

/// Probes the servers of a configuration once, and shares their health. Returns whether all
/// messages were accepted.
///
/// # Errors
/// If it cannot start.
pub async fn monitor_once(options: MonitorOptions) -> Result<bool, StartError> {
    let Start { proxy, mut links, mut kv, .. } = Start::new(options)?;
    // Without a network, all servers would fail.
    for link in &mut links {
        if !has_contact(async || link.send().await.map(drop)).await {
            return Ok(false);
        }
    }
    if let Some(kv) = &mut kv
        && !has_contact(async || kv.connect().await).await
    {
        return Ok(false);
    }
    once::probe_all(&proxy).await;
    let mut is_shared = true;
    for link in &mut links {
        is_shared &= link.exchange().await.is_ok();
    }
    if let Some(kv) = &mut kv {
        is_shared &= matches!(kv.share().await, Ok(true));
    }
    Ok(is_shared)
}

/// Sends a message up to three times.
async fn has_contact(mut send: impl AsyncFnMut() -> Result<(), Failure>) -> bool {
    for pause in [1, 2].map(Duration::from_secs) {
        match send().await {
            Ok(()) => return true,
            Err(failure) if !failure.is_temporary() => return false,
            Err(_) => tokio::time::sleep(pause).await,
        }
    }
    send().await.is_ok()
}

/// What a monitor consists of.
struct Start {
    file: ConfigFile,
    proxy: Arc<Proxy>,
    links: Vec<Link>,
    kv: Option<KvLink>,
    notify: Vec<NotifyTarget>,
}

impl Start {
    fn new(options: MonitorOptions) -> Result<Self, StartError> {
        let (file, read) = open_config(&options.file)?;
        descriptors::raise_limit();
        let services =
            Services::new(read.config.services, fastrand::u64(..)).with_missing_secrets(&read.without_secrets);
        // It serves no request, and has the same state and probes as a proxy.
        let proxy =
            Proxy::new(services, TrustedProxies::default(), Limits::default(), None).map_err(StartError::no_roots)?;
        let proxy = Arc::new(proxy);
        log::config_loaded(&file, &proxy.services(), concat!("tunnel-balancer ", env!("CARGO_PKG_VERSION")));
        log::missing_secrets(&file, &read.without_secrets, read.errors.as_ref());
        log::targets_without_secrets(&file, &read.notify_without_secrets, read.errors.as_ref());
        let link = |target| Link::new(target, &proxy, options.interval);
        let links = options.push.into_iter().map(link).collect::<Result<_, _>>().map_err(StartError::no_roots)?;
        let kv = options.kv.map(|target| KvLink::new(target, &proxy)).transpose().map_err(StartError::no_roots)?;
        Ok(Self { file, proxy, links, kv, notify: read.config.notify })
    }
}
