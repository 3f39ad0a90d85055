//! Reads a configuration of which some services cannot serve, because their secrets are missing.

use tunnel_balancer_core::Service;

use crate::diagnostic::{Code, Errors};
use crate::{Config, parse_with};

/// A configuration without the services whose secrets are missing.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Available {
    /// The configuration. Its services have all their secrets.
    pub config: Config,
    /// The addresses of the other services, in the order of the file.
    pub without_secrets: Vec<String>,
    /// The missing secrets, if there are any.
    pub errors: Option<Errors>,
}

/// Stands for a missing secret while the services that use it are determined.
const MISSING: &str = "(a secret of tunnel-balancer that is not set)";

/// Reads a configuration like [`parse_with`]. A missing secret makes the services unavailable that
/// use it, and no others.
///
/// # Errors
/// Those of [`parse_with`], unless all of them are missing secrets.
pub fn parse_available(yaml: &str, secret: &dyn Fn(&str) -> Option<String>) -> Result<Available, Errors> {
    let errors = match parse_with(yaml, secret) {
        Ok(config) => return Ok(Available { config, without_secrets: Vec::new(), errors: None }),
        Err(errors) => errors,
    };
    let is_missing = |code| code == Code::MissingSecret;
    if errors.suppressed() > 0 || !errors.diagnostics().iter().all(|diagnostic| is_missing(diagnostic.code)) {
        return Err(errors);
    }
    let or_marker = |name: &str| {
        let set = secret(name).filter(|secret| !secret.trim().is_empty());
        set.or_else(|| Some(MISSING.to_owned()))
    };
    let mut config = parse_with(yaml, &or_marker)?;
    let (without, services): (Vec<_>, Vec<_>) = config.services.into_iter().partition(lacks_secret);
    config.services = services;
    Ok(Available { config, without_secrets: without.iter().map(Service::name).collect(), errors: Some(errors) })
}

fn lacks_secret(service: &Service) -> bool {
    let mut headers = service.servers().iter().flat_map(|server| &server.headers);
    let key = service.affinity.as_ref().map(|affinity| affinity.key.as_slice());
    headers.any(|header| header.value.contains(MISSING)) || key == Some(MISSING.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = r#"
defaults: { affinity: { cookie: lb, key: "${KEY}" } }
services:
  inherits.test: a.example
  header.test: { affinity: false, servers: [{ url: a.example, headers: { X-Token: "Bearer ${TOKEN}" } }] }
  plain.test/api: { affinity: false, servers: a.example }
"#;

    fn read(set: &[&str]) -> Result<(Vec<String>, Vec<String>), Errors> {
        let secret = |name: &str| set.contains(&name).then(|| "0123456789abcdef".to_owned());
        let read = parse_available(YAML, &secret)?;
        let names = |services: &[Service]| services.iter().map(Service::name).collect();
        assert_eq!(read.errors.is_none(), read.without_secrets.is_empty(), "{read:?}");
        Ok((names(&read.config.services), read.without_secrets))
    }

    #[test]
    fn a_missing_secret_affects_only_the_services_that_use_it() {
        let (inherits, header, plain) = ("inherits.test", "header.test", "plain.test/api");
        let table: [(&[&str], &[&str], &[&str]); 4] = [
            (&["KEY", "TOKEN"], &[inherits, header, plain], &[]),
            (&["KEY"], &[inherits, plain], &[header]),
            (&["TOKEN"], &[header, plain], &[inherits]),
            (&[], &[plain], &[inherits, header]),
        ];
        for (set, services, without) in table {
            let (available, missing) = read(set).unwrap();
            assert!(available == services && missing == without, "{set:?}: {available:?}, {missing:?}");
        }
    }

    #[test]
    fn other_errors_reject_the_whole_file() {
        let yaml =
            "services: { a.test: { servers: a.example, polcy: random, affinity: { cookie: lb, key: \"${KEY}\" } } }";
        assert!(parse_available(yaml, &|_| None).is_err());
        let short = parse_available(YAML, &|_| Some("short".to_owned()));
        assert!(short.is_err());
    }
}
