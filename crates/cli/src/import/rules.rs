//! The rules of tunnels that lead to applications.

use tunnel_balancer_config::{Coverage, IngressRule, IngressTarget, parse_ingress, redact_urls};

use crate::draft::{render, server_error};
use crate::output;

/// A rule for an application.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct ImportedRule {
    /// The index of its file.
    pub(super) file: usize,
    /// File and line.
    pub(super) place: String,
    pub(super) hostname: String,
    pub(super) service: String,
    pub(super) host_header: Option<String>,
}

/// Returns the rules for applications, and notes about the other rules. `files` are names and
/// contents.
pub(super) fn read(files: &[(String, String)]) -> Result<(Vec<ImportedRule>, Vec<String>), String> {
    let (mut rules, mut notes) = (Vec::<ImportedRule>::new(), Vec::new());
    for (file, (name, text)) in files.iter().enumerate() {
        let ingress = parse_ingress(text).map_err(|errors| output::rendered(&errors, name, text))?;
        for (index, rule) in ingress.rules.iter().enumerate() {
            let before = ingress.rules.get(..index).unwrap_or_default();
            let place = format!("{name}:{}", rule.line);
            let is_known = |hostname: &str| rules.iter().any(|other| other.file == file && other.hostname == hostname);
            match server_hostname(rule, before, is_known) {
                Ok(None) => {}
                Ok(Some(hostname)) => {
                    if let Some(path) = rule.path.as_ref().filter(|_| rule.coverage("") != Coverage::All) {
                        let reason = "a server gets all paths";
                        notes.push(format!("{place}: dropped the path {path:?} of {hostname}: {reason}"));
                    }
                    let (service, host_header) = (rule.service.clone(), rule.http_host_header.clone());
                    rules.push(ImportedRule { file, place, hostname, service, host_header });
                }
                Err(reason) => notes.push(format!("{place}: {reason}")),
            }
        }
    }
    Ok((rules, notes))
}

/// Returns the hostname of a rule for an application. `None` for the last rule, which responds with
/// a status.
fn server_hostname(
    rule: &IngressRule,
    before: &[IngressRule],
    is_known: impl Fn(&str) -> bool,
) -> Result<Option<String>, String> {
    let Some(hostname) = &rule.hostname else {
        return match rule.target() {
            IngressTarget::Status => Ok(None),
            _ => Err("skipped a rule for every hostname: add a server for each hostname of the tunnel".to_owned()),
        };
    };
    let hostname = hostname.to_ascii_lowercase();
    let hostname = hostname.strip_suffix('.').unwrap_or(&hostname).to_owned();
    if hostname.contains('*') {
        return Err(format!("skipped the wildcard {hostname}: add a server for each of its hostnames"));
    }
    if let Some(reason) = rule.validate() {
        return Err(format!("skipped {hostname}: cloudflared rejects this rule: {reason}"));
    }
    if rule.target() != IngressTarget::Application {
        return Err(format!("skipped {hostname}: {} is not a web application", redact_urls(&rule.service)));
    }
    if is_known(&hostname) && before.iter().any(|other| other.covers(rule)) {
        return Err(format!("skipped a rule for {hostname} that is never reached"));
    }
    if is_known(&hostname) {
        return Err(format!("skipped a second rule for {hostname}: a server gets all paths"));
    }
    match server_error(&hostname) {
        Some(error) => Err(render(&error).replace('\n', ";")),
        None => Ok(Some(hostname)),
    }
}
