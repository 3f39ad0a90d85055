//! The services of the isolate: parsed once and kept for its lifetime.

use std::sync::OnceLock;

use tunnel_balancer_core::Services;
use worker::Env;

use crate::{log, random};

/// The text variable that overrides the file compiled in.
const VARIABLE: &str = "SERVICES_YAML";

/// The file that `SERVICES_FILE` named when the Worker was built. The build has checked it.
const COMPILED_IN: &str = include_str!(concat!(env!("OUT_DIR"), "/services.yaml"));

/// Plain data that belongs to no request. `None` if the configuration is invalid.
static SERVICES: OnceLock<Option<Services>> = OnceLock::new();

/// Returns the services. `None` if the configuration is invalid, which is logged once.
pub(crate) fn load(env: &Env) -> Option<&'static Services> {
    SERVICES.get_or_init(|| read(env)).as_ref()
}

fn read(env: &Env) -> Option<Services> {
    let variable = env.var(VARIABLE).ok().map(|variable| variable.to_string());
    let (source, yaml) = variable.as_deref().map_or(("services.yaml", COMPILED_IN), |yaml| (VARIABLE, yaml));
    let secret = |name: &str| env.secret(name).ok().map(|secret| secret.to_string());
    match tunnel_balancer_config::parse_with(yaml, &secret) {
        Ok(config) => Some(Services::new(config.services, random::bits())),
        Err(errors) => {
            log::invalid_configuration(source, &errors.in_file(source).to_string());
            None
        }
    }
}
