//! The services of the isolate: parsed once and kept for its lifetime.
//!
//! The variable `SERVICES_YAML` overrides the file compiled in. If the variable is invalid, that
//! file is used.

use std::sync::OnceLock;

use tunnel_balancer_config::{Available, Errors, Platform, parse_available};
use tunnel_balancer_core::{LogEntry, Reason, Services};
use worker::Env;

use crate::{log, random};

/// The text variable that overrides the file compiled in.
const VARIABLE: &str = "SERVICES_YAML";

/// The file that `SERVICES_FILE` named when the Worker was built. The build has checked it.
const COMPILED_IN: &str = include_str!(concat!(env!("OUT_DIR"), "/services.yaml"));

/// The configuration of an isolate. Plain data that belongs to no request.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) services: Services,
    /// Whether the variable is invalid, so that the file compiled in is used.
    pub(crate) is_fallback: bool,
}

static LOADED: OnceLock<Option<Loaded>> = OnceLock::new();

/// Returns the configuration. `None` if there is no valid one. Errors are logged once.
pub(crate) fn load(env: &Env) -> Option<&'static Loaded> {
    LOADED.get_or_init(|| read(env)).as_ref()
}

fn read(env: &Env) -> Option<Loaded> {
    let secret = |name: &str| env.secret(name).ok().map(|secret| secret.to_string());
    let mut is_fallback = false;
    if let Ok(variable) = env.var(VARIABLE) {
        match parse_available(&variable.to_string(), Platform::Worker, &secret) {
            Ok(read) => return Some(Loaded { services: services(VARIABLE, read), is_fallback }),
            Err(errors) => reject(VARIABLE, &errors),
        }
        is_fallback = true;
    }
    let read = parse_available(COMPILED_IN, Platform::Worker, &secret);
    let read = read.inspect_err(|errors| reject("services.yaml", errors)).ok()?;
    Some(Loaded { services: services("services.yaml", read), is_fallback })
}

/// Creates the pools of a configuration and logs that it is in use.
fn services(source: &str, read: Available) -> Services {
    let services = Services::new(read.config.services, random::bits());
    log::write(&LogEntry::config_loaded(&services, source));
    if let Some(errors) = read.errors {
        for address in &read.without_secrets {
            log::write(&LogEntry::missing_secret(address, source, errors.in_file(source).to_string()));
        }
    }
    services.with_missing_secrets(&read.without_secrets)
}

fn reject(source: &str, errors: &Errors) {
    log::write(&LogEntry::config_rejected(source, Reason::InvalidConfig, errors.in_file(source).to_string()));
}
