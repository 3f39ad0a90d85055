//! Reads a configuration of which some services cannot serve, because their secrets are missing or
//! invalid.

use tunnel_balancer_core::Service;
use tunnel_balancer_state::{NotifyTarget, TargetKind};

use crate::diagnostic::{Code, Errors};
use crate::environment::Environment;
use crate::secrets::Secrets;
use crate::{Config, Platform, read};

/// A configuration without the services whose secrets are missing or invalid.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Available {
    /// The configuration. Its services have all their secrets.
    pub config: Config,
    /// The addresses of the other services, in the order of the file.
    pub without_secrets: Vec<String>,
    /// The kinds of the targets of `notify` whose secrets are missing or invalid. They are not part
    /// of the configuration.
    pub notify_without_secrets: Vec<TargetKind>,
    /// Whether the token of `status` is missing or invalid. The configuration has none.
    pub status_without_secret: bool,
    /// The missing and invalid secrets, if there are any.
    pub errors: Option<Errors>,
}

/// Stands for such a secret while the services that use it are determined.
const MISSING: &str = "(a secret of tunnel-balancer that is not set)";

/// Reads a configuration like [`parse_with`](crate::parse_with), for a program that serves it. A
/// missing or invalid secret makes the services, the targets of `notify` and the token of `status`
/// unavailable that use it, and no others.
///
/// # Errors
/// Those of `parse_with`, unless all of them are missing or invalid secrets, and settings that the
/// program does not support.
///
/// `to_ascii` returns the ASCII form of an internationalized hostname, or `None` if it is invalid:
/// a function of the platform, or [`domain_to_ascii`](tunnel_balancer_core::domain_to_ascii).
pub fn parse_available(
    yaml: &str,
    platform: Platform,
    secret: &dyn Fn(&str) -> Option<String>,
    to_ascii: &dyn Fn(&str) -> Option<String>,
) -> Result<Available, Errors> {
    let secrets = Secrets::new(Some(secret));
    let errors = match read(yaml, Environment { secrets, platform: Some(platform), to_ascii, ..Environment::default() })
    {
        Ok(config) => {
            return Ok(Available {
                config,
                without_secrets: Vec::new(),
                notify_without_secrets: Vec::new(),
                status_without_secret: false,
                errors: None,
            });
        }
        Err(errors) => errors,
    };
    let is_secret = |code| matches!(code, Code::MissingSecret | Code::InvalidSecret);
    if errors.suppressed() > 0 || !errors.diagnostics().iter().all(|diagnostic| is_secret(diagnostic.code)) {
        return Err(errors);
    }
    let secrets = Secrets::new(Some(secret)).with_substitute(MISSING);
    let mut config = read(yaml, Environment { secrets, platform: Some(platform), to_ascii, ..Environment::default() })?;
    let (without, services): (Vec<_>, Vec<_>) = config.services.into_iter().partition(lacks_secret);
    config.services = services;
    let (targets, notify): (Vec<_>, Vec<_>) = config.notify.into_iter().partition(target_lacks_secret);
    config.notify = notify;
    let without_secrets = without.iter().map(Service::name).collect();
    let notify_without_secrets = targets.iter().map(|target| target.kind).collect();
    let token = config.status.as_mut().map(|status| &mut status.token);
    let status_without_secret = token.and_then(|token| token.take_if(|token| token == MISSING)).is_some();
    let errors = Some(errors);
    Ok(Available { config, without_secrets, notify_without_secrets, status_without_secret, errors })
}

fn target_lacks_secret(target: &NotifyTarget) -> bool {
    let headers = target.headers.iter().map(|(_, value)| value);
    headers.chain([&target.url]).chain(&target.token).any(|value| value.contains(MISSING))
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
    use tunnel_balancer_core::domain_to_ascii;

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
        let read = parse_available(YAML, Platform::Serve, &secret, &domain_to_ascii)?;
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
            let read = parse_available(YAML, Platform::Serve, &secret, &domain_to_ascii).unwrap();
            assert_eq!(read.without_secrets, [without]);
            assert_eq!(read.errors.unwrap().diagnostics()[0].code, Code::InvalidSecret);
        }
    }

    #[test]
    fn other_errors_reject_the_whole_file() {
        let yaml =
            "services: { a.test: { servers: a.example, polcy: random, affinity: { cookie: lb, key: \"${KEY}\" } } }";
        assert!(parse_available(yaml, Platform::Serve, &|_| None, &domain_to_ascii).is_err());
    }

    #[test]
    fn without_its_secret_the_status_page_has_no_token() {
        let yaml = "status: { token: \"${BALANCER_STATUS_TOKEN}\", public: true }\nservices: { a.test: a.example }";
        for secret in [None, Some("short")] {
            let secret = |_: &str| secret.map(str::to_owned);
            let read = parse_available(yaml, Platform::Serve, &secret, &domain_to_ascii).unwrap();
            let status = read.config.status.unwrap();
            assert!(read.status_without_secret && status.token.is_none() && status.public);
            assert_eq!((read.config.services.len(), read.without_secrets.len()), (1, 0));
        }
    }

    #[test]
    fn a_target_without_its_secret_affects_no_service() {
        let yaml = r#"
notify:
  - ntfy: https://ntfy.sh/topic
  - discord: "${DISCORD_WEBHOOK}"
  - { gotify: https://push.example.com, token: "${GOTIFY_TOKEN}" }
  - { json: https://hook.example.com, headers: { X-Key: "Key ${HOOK_KEY}" } }
services: { a.test: a.example }
"#;
        let kinds = |targets: &[NotifyTarget]| targets.iter().map(|target| target.kind).collect::<Vec<_>>();
        use TargetKind::{Discord, Gotify, Json, Ntfy};
        let without = parse_available(yaml, Platform::Serve, &|_| None, &domain_to_ascii).unwrap();
        assert_eq!(without.config.services.len(), 1);
        assert_eq!(kinds(&without.config.notify), [Ntfy]);
        assert_eq!(without.notify_without_secrets, [Discord, Gotify, Json]);
        assert_eq!((without.without_secrets.len(), without.errors.unwrap().diagnostics().len()), (0, 3));
        // A secret that is no URL.
        let invalid = |name: &str| Some(if name.starts_with("DISCORD") { "discord.com/x" } else { "key" }.to_owned());
        let invalid = parse_available(yaml, Platform::Serve, &invalid, &domain_to_ascii).unwrap();
        assert_eq!(kinds(&invalid.config.notify), [Ntfy, Gotify, Json]);
        let errors = invalid.errors.unwrap();
        assert_eq!(errors.diagnostics()[0].code, Code::InvalidSecret);
        assert!(!errors.to_string().contains("discord.com/x"), "{errors}");
    }
}
