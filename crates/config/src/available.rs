//! Reads a configuration of which some services cannot serve, because their secrets are missing or
//! invalid.

use tunnel_balancer_core::Service;

use crate::diagnostic::{Code, Errors};
use crate::secret::Secrets;
use crate::{Config, Platform, read};

/// A configuration without the services whose secrets are missing or invalid.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Available {
    /// The configuration. Its services have all their secrets.
    pub config: Config,
    /// The addresses of the other services, in the order of the file.
    pub without_secrets: Vec<String>,
    /// The missing and invalid secrets, if there are any.
    pub errors: Option<Errors>,
}

/// Stands for such a secret while the services that use it are determined.
const MISSING: &str = "(a secret of tunnel-balancer that is not set)";

/// Reads a configuration like [`parse_with`](crate::parse_with), for a program that serves it. A
/// missing or invalid secret makes the services unavailable that use it, and no others.
///
/// # Errors
/// Those of `parse_with`, unless all of them are missing or invalid secrets, and settings that the
/// program does not support.
pub fn parse_available(
    yaml: &str,
    platform: Platform,
    secret: &dyn Fn(&str) -> Option<String>,
) -> Result<Available, Errors> {
    let errors = match read(yaml, Secrets::new(Some(secret)), Some(platform)) {
        Ok(config) => return Ok(Available { config, without_secrets: Vec::new(), errors: None }),
        Err(errors) => errors,
    };
    let is_secret = |code| matches!(code, Code::MissingSecret | Code::InvalidSecret);
    if errors.suppressed() > 0 || !errors.diagnostics().iter().all(|diagnostic| is_secret(diagnostic.code)) {
        return Err(errors);
    }
    let mut config = read(yaml, Secrets::new(Some(secret)).with_substitute(MISSING), Some(platform))?;
    let (without, services): (Vec<_>, Vec<_>) = config.services.into_iter().partition(lacks_secret);
    config.services = services;
    Ok(Available { config, without_secrets: without.iter().map(Service::name).collect(), errors: Some(errors) })
}

fn lacks_secret(service: &Service) -> bool {
    let checks = service.all().iter().filter_map(|id| service.health_check_of(id));
    let of_checks = checks.flat_map(|check| &check.headers);
    let mut headers = service.servers().iter().flat_map(|server| &server.headers).chain(of_checks);
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

    fn available(set: &[&str]) -> Result<(Vec<String>, Vec<String>), Errors> {
        let secret = |name: &str| set.contains(&name).then(|| "0123456789abcdef".to_owned());
        let read = parse_available(YAML, Platform::Serve, &secret)?;
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
            let (available, missing) = available(set).unwrap();
            assert!(available == services && missing == without, "{set:?}: {available:?}, {missing:?}");
        }
    }

    #[test]
    fn an_invalid_secret_affects_only_the_services_that_use_it() {
        for (name, secret, without) in [("KEY", "short", "inherits.test"), ("TOKEN", "line\n", "header.test")] {
            let secret = |it: &str| Some(if it == name { secret } else { "0123456789abcdef" }.to_owned());
            let read = parse_available(YAML, Platform::Serve, &secret).unwrap();
            assert_eq!(read.without_secrets, [without]);
            assert_eq!(read.errors.unwrap().diagnostics()[0].code, Code::InvalidSecret);
        }
    }

    #[test]
    fn other_errors_reject_the_whole_file() {
        let yaml =
            "services: { a.test: { servers: a.example, polcy: random, affinity: { cookie: lb, key: \"${KEY}\" } } }";
        assert!(parse_available(yaml, Platform::Serve, &|_| None).is_err());
    }
}
