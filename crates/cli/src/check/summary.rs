//! The summary of a map after its diagnostics: counts, secrets, size and estimated usage.

use annotate_snippets::normalize_untrusted_str;
use tunnel_balancer_config::Config;
use tunnel_balancer_state::HealthSharing;

use super::report::{Comparison, MAX_VARIABLE, Report};
use crate::budget::Budget;
use crate::plural::{count, count_or_none};

/// Returns the summary. `shown` is the number of diagnostics above it.
pub(super) fn write(report: &Report, shown: usize) -> String {
    let file = normalize_untrusted_str(&report.file);
    let Ok(config) = &report.checked else {
        let errors = report.errors();
        return format!("{file}: {}{}\n", count_or_none(errors as u64, "error"), above(shown, errors));
    };
    let warnings = report.warnings();
    let mut text = format!("{file}: {}{}\n", counts(config, warnings), above(shown, warnings));
    if !config.secrets.is_empty() {
        text += &format!("Secrets to set: {}\n", config.secrets.join(", "));
    }
    if !config.notify.is_empty() {
        let kinds: Vec<&str> = config.notify.iter().map(|target| target.kind.as_str()).collect();
        text += &format!("Notifications: {}\n", kinds.join(", "));
    }
    if let Some(status) = &config.status {
        let token = if status.token.is_some() { "with a token" } else { "with the token of the control API" };
        let public = if status.public { ", names and states for all clients" } else { "" };
        text += &format!("Status page: {} {token}{public}\n", status.path);
    }
    text += &sharing(config.health_sharing);
    if let Some(budget) = &report.budget {
        text += &variable(report);
        text += &usage(budget);
    }
    text += &comparison("Files of tunnels", "hostname", "served", report.tunnels.as_ref());
    text + &comparison("Routes", "service", "routed", report.routes.as_ref())
}

fn counts(config: &Config, warnings: usize) -> String {
    let servers = config.services.iter().map(|service| service.servers().len()).sum();
    let counts = [(config.services.len(), "service"), (servers, "server"), (warnings, "warning")];
    counts.map(|(number, noun)| count_or_none(number as u64, noun)).join(", ")
}

/// Returns whether the map can be the variable `SERVICES_YAML` of the Worker.
fn variable(report: &Report) -> String {
    let size = format!("{} of {MAX_VARIABLE} bytes", report.source.len());
    if report.fits_variable() {
        format!("Variable SERVICES_YAML: fits ({size})\n")
    } else {
        format!("Variable SERVICES_YAML: too large ({size}); compile the map into the Worker: `npx wrangler deploy`\n")
    }
}

/// Returns what shared health needs outside of the map.
fn sharing(mode: HealthSharing) -> String {
    let needs = match mode {
        HealthSharing::Colo => "a cron trigger in wrangler.toml, for probes without traffic",
        HealthSharing::Kv => "the KV namespace HEALTH and a cron trigger in wrangler.toml",
        HealthSharing::DurableObject => "the Durable Object MONITOR and its migration in wrangler.toml",
        HealthSharing::Monitor => "the secret BALANCER_MONITOR_KEY, and `tunnel-balancer monitor --push` on a machine",
        _ => return String::new(),
    };
    format!("Shared health ({}) needs {needs}\n", mode.as_str())
}

fn usage(budget: &Budget) -> String {
    let requests = count(budget.assumed.requests_per_day, "request");
    let isolates = count(budget.assumed.isolates, "isolate");
    let lines = budget.lines().iter().map(|line| format!("  {line}\n")).collect::<String>();
    let assumptions = format!("{requests} per day (--requests-per-day) and {isolates} (--isolates)");
    format!("\nEstimated usage of Cloudflare's free plan, for {assumptions}:\n{lines}")
}

fn comparison(title: &str, noun: &str, verb: &str, comparison: Option<&Comparison>) -> String {
    let Some(comparison) = comparison else { return String::new() };
    let mut text = format!("\n{title}:\n");
    comparison
        .findings
        .iter()
        .for_each(|finding| text += &format!("  {}\n", finding.to_string().replace('\n', "\n  ")));
    if !comparison.has_errors() {
        text += &format!("  complete: {} {verb}\n", count(comparison.hosts as u64, noun));
    }
    text
}

/// Notes how many diagnostics are shown, if not all are.
fn above(shown: usize, all: usize) -> String {
    if shown < all { format!(" (the first {shown} above)") } else { String::new() }
}
