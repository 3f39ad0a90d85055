//! The differences as lines for a terminal.

use std::fmt::Write;

use tunnel_balancer_config::{Change, ServiceDiff, SettingChange};

use super::report::{Report, ServiceConsequences, Values, usage_title};
use crate::plural::count;

pub(super) fn write(report: &Report) -> String {
    if report.diff.is_empty() {
        return "no difference\n".to_owned();
    }
    let mut paragraphs: Vec<String> = report.changed().map(|(diff, then)| service(diff, then)).collect();
    if report.unchanged() > 0 {
        paragraphs.push(format!("{} unchanged\n", count(report.unchanged() as u64, "service")));
    }
    let settings: String = report.diff.settings.iter().map(|change| setting("", change, Change::Changed)).collect();
    let secrets = secrets(report);
    paragraphs.extend([settings, secrets, usage(report)]);
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs.join("\n")
}

fn service(diff: &ServiceDiff, consequences: &ServiceConsequences) -> String {
    let mut text = format!("{} {}\n", diff.service, diff.change.as_str());
    for change in &diff.settings {
        text += &setting("  ", change, diff.change);
    }
    for server in diff.servers.iter().filter(|server| server.change != Change::Unchanged) {
        let _ = writeln!(text, "  server {} {}", server.server, server.change.as_str());
        for change in &server.settings {
            text += &setting("    ", change, server.change);
        }
    }
    if let Some((old, new)) = &diff.order {
        let _ = writeln!(text, "  order of servers: {} -> {}", old.join(", "), new.join(", "));
    }
    for sentence in consequences.all() {
        let _ = writeln!(text, "  * {sentence}");
    }
    text
}

fn setting(indentation: &str, setting: &SettingChange, change: Change) -> String {
    let values = match Values::of(setting, change) {
        Values::Initial(value) => value.to_owned(),
        Values::Changed(old, new) => format!("{old} -> {new}"),
        Values::Hidden => Values::HIDDEN.to_owned(),
    };
    format!("{indentation}{}: {values}\n", setting.key)
}

fn secrets(report: &Report) -> String {
    let line = |title: &str, names: &[String]| {
        if names.is_empty() { String::new() } else { format!("{title}: {}\n", names.join(", ")) }
    };
    line("Secrets to set", &report.diff.secrets_added) + &line("Secrets no longer used", &report.diff.secrets_removed)
}

fn usage(report: &Report) -> String {
    let changed = report.usage.iter().filter(|usage| usage.old != usage.new);
    let lines: String = changed.map(|usage| format!("  {}: {} -> {}\n", usage.title, usage.old, usage.new)).collect();
    if lines.is_empty() { lines } else { format!("{}:\n{lines}", usage_title()) }
}
