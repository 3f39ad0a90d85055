//! The differences as Markdown, for a comment on a pull request.

use std::fmt::Write;

use tunnel_balancer_config::{Change, ServiceDiff, SettingChange};

use super::report::{Report, ServiceConsequences, Values, usage_title};
use crate::plural::count;

pub(super) fn write(report: &Report) -> String {
    if report.diff.is_empty() {
        return "No difference.\n".to_owned();
    }
    let mut blocks: Vec<String> = report.changed().flat_map(|(diff, then)| service(diff, then)).collect();
    if report.unchanged() > 0 {
        blocks.push(format!("{} unchanged.\n", count(report.unchanged() as u64, "service")));
    }
    if !report.diff.settings.is_empty() {
        blocks.push("### Settings of the file\n".to_owned());
        blocks.push(table(report.diff.settings.iter().map(|change| row(None, change, Change::Changed))));
    }
    blocks.push(secrets(report));
    let usage = report.usage.iter().filter(|usage| usage.old != usage.new);
    let usage: Vec<String> =
        usage.map(|usage| format!("| {} | {} | {} |\n", usage.title, usage.old, usage.new)).collect();
    if !usage.is_empty() {
        blocks.push(format!("### {}\n", usage_title()));
        blocks.push(format!("| | old | new |\n|---|---|---|\n{}", usage.concat()));
    }
    blocks.retain(|block| !block.is_empty());
    blocks.join("\n")
}

fn service(diff: &ServiceDiff, consequences: &ServiceConsequences) -> Vec<String> {
    let servers = || diff.servers.iter();
    let settings = diff.settings.iter().map(|change| row(None, change, diff.change));
    let of_servers = servers()
        .flat_map(|server| server.settings.iter().map(|change| row(Some(&server.server), change, server.change)));
    let mut list = String::new();
    for server in servers().filter(|server| matches!(server.change, Change::Added | Change::Removed)) {
        let _ = writeln!(list, "- server {} {}", code(&server.server), server.change.as_str());
    }
    if let Some((old, new)) = &diff.order {
        let _ = writeln!(list, "- order of servers: {} → {}", code(&old.join(", ")), code(&new.join(", ")));
    }
    for sentence in consequences.all() {
        let _ = writeln!(list, "- {sentence}");
    }
    vec![format!("### {} {}\n", code(&diff.service), diff.change.as_str()), table(settings.chain(of_servers)), list]
}

fn table(rows: impl Iterator<Item = String>) -> String {
    let rows: String = rows.collect();
    if rows.is_empty() { rows } else { format!("| setting | old | new |\n|---|---|---|\n{rows}") }
}

fn row(server: Option<&str>, setting: &SettingChange, change: Change) -> String {
    let server = server.map_or_else(String::new, |server| format!("{}: ", code(server)));
    let cell = |value: &str| if value == Values::NOT_SET { value.to_owned() } else { code(value) };
    let cells = match Values::of(setting, change) {
        Values::Initial(value) => format!("| {}", cell(value)),
        Values::Changed(old, new) => format!("{} | {}", cell(old), cell(new)),
        Values::Hidden => format!("| {}", Values::HIDDEN),
    };
    format!("| {server}{} | {cells} |\n", code(&setting.key))
}

fn secrets(report: &Report) -> String {
    let line = |title: &str, names: &[String]| {
        let names: Vec<String> = names.iter().map(|name| code(name)).collect();
        if names.is_empty() { String::new() } else { format!("- {title}: {}\n", names.join(", ")) }
    };
    line("secrets to set", &report.diff.secrets_added) + &line("secrets no longer used", &report.diff.secrets_removed)
}

/// Returns a string as code, also within a table. A longer fence contains backticks.
fn code(text: &str) -> String {
    let runs = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let (fence, space) = ("`".repeat(runs + 1), if runs > 0 { " " } else { "" });
    format!("{fence}{space}{}{space}{fence}", text.replace('|', "\\|"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_escaped() {
        assert_eq!(code("a|b"), "`a\\|b`");
        assert_eq!(code("a `b` ``c"), "``` a `b` ``c ```");
    }
}
