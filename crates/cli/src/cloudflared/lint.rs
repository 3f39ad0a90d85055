//! Errors and notes about the file of one tunnel.

use std::collections::BTreeSet;

use tunnel_balancer_config::{IngressRule, IngressTarget};

use super::{Finding, IngressFile, TunnelHost};

/// Checks the rules of a file, and whether `hosts` need them.
pub(super) fn lint(hosts: &[TunnelHost], file: &IngressFile) -> Vec<Finding> {
    let rules = &file.ingress.rules;
    let mut findings = order(file);
    let invalid = rules.iter().filter_map(|rule| Some((rule, rule.validate()?)));
    findings.extend(
        invalid.map(|(rule, reason)| file.finding(rule, format!("cloudflared does not start: {reason}"), true)),
    );
    let mut reported = BTreeSet::new();
    for rule in rules {
        let Some(name) = rule.hostname.as_deref().filter(|name| !name.starts_with('*') && reported.insert(*name))
        else {
            continue;
        };
        if hosts.iter().any(|host| host.public.contains(&name.to_ascii_lowercase())) {
            let message = format!(
                "{name} is a public host: with the Worker in front of it, this rule is only needed to roll back"
            );
            findings.push(file.finding(rule, message, false));
        } else if rule.target() == IngressTarget::Application && !hosts.iter().any(|host| rule.matches_host(&host.host))
        {
            findings.push(file.finding(rule, format!("{name} is not a server of any service"), false));
        }
    }
    findings
}

/// Reports rules that cannot match, and a last rule that does not match every request.
fn order(file: &IngressFile) -> Vec<Finding> {
    let rules = &file.ingress.rules;
    let mut findings = Vec::new();
    let catch_all = rules.iter().position(IngressRule::is_catch_all);
    let before = rules.get(..catch_all.unwrap_or(rules.len())).unwrap_or_default();
    for (index, rule) in before.iter().enumerate() {
        if let Some(other) = before.iter().take(index).find(|other| other.covers(rule)) {
            let message = format!("this rule is never reached: the rule in line {} matches its requests", other.line);
            findings.push(file.finding(rule, message, true));
        }
    }
    match catch_all {
        Some(index) if index + 1 < rules.len() => {
            let message = "cloudflared does not start: this rule matches every request, but is not the last one";
            findings.push(file.finding(&rules[index], message.to_owned(), true));
        }
        Some(_) => {}
        None => {
            let message = format!(
                "{}: cloudflared does not start: the last rule does not match every request; add `- service: \
                http_status:404`",
                file.name
            );
            findings.push(Finding { at: None, message, is_error: true, hint: None });
        }
    }
    findings
}
