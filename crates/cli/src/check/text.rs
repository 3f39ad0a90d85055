//! For people: each mistake with its line, the place marked, and a summary at the end.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};
use tunnel_balancer_config::{Code, Diagnostic, Errors, Lines, Severity};

use super::mask::masked;
use super::{Report, counted};

/// Nobody reads more at a time. The other formats have them all.
const MOST: usize = Errors::MAX_DIAGNOSTICS;

pub(super) fn write(report: &Report<'_>) -> String {
    let lines = Lines::new(report.source);
    let renderer = Renderer::styled();
    let file = normalize_untrusted_str(report.file);
    let mut text = String::new();
    let mut paragraph = |part: &str| {
        text += part;
        text += "\n\n";
    };
    let mut told = report.diagnostics().len().min(MOST);
    for diagnostic in report.diagnostics().iter().take(MOST) {
        let line = match diagnostic.code {
            // It may be all there is.
            Code::TooLarge => String::new(),
            _ => masked(lines.line(diagnostic.line)),
        };
        paragraph(&renderer.render(&[group(diagnostic, &line, &file)]));
    }
    for remark in report.remarks.iter().take(MOST - told) {
        told += 1;
        let message = normalize_untrusted_str(&remark.message);
        paragraph(&renderer.render(&[Group::with_title(Level::WARNING.primary_title(message).id(remark.code))]));
    }
    match (report.checked, &report.budget) {
        (Ok(config), Some(budget)) => {
            let servers: usize = config.services.iter().map(|service| service.servers().len()).sum();
            let counts = [(config.services.len(), "service"), (servers, "server"), (report.warnings(), "warning")];
            let counts = counts.map(|(number, what)| counted(number as u64, what)).join(", ");
            text += &format!("{file}: {counts}{}\n", above(told, report.warnings()));
            if !config.secrets.is_empty() {
                text += &format!("Secrets to set: {}\n", config.secrets.join(", "));
            }
            let assumed = budget.assumed;
            text += &format!(
                "\nOn Cloudflare's free plan, assuming {} requests a day (--requests-per-day) and {} isolates (--isolates):\n",
                assumed.requests_per_day, assumed.isolates
            );
            budget.lines().iter().for_each(|line| text += &format!("  {line}\n"));
            if let Some(compared) = &report.tunnels {
                text += "\nIn the tunnels' files:\n";
                compared.findings.iter().for_each(|finding| text += &format!("  {finding}\n"));
                if !compared.lacks_something() {
                    let hosts = compared.hosts;
                    text += &format!("  nothing is missing: {hosts} of {hosts} hostnames are served\n");
                }
            }
        }
        _ => {
            text += &format!("{file}: {}{}\n", counted(report.errors() as u64, "error"), above(told, report.errors()));
        }
    }
    text
}

/// A remark on those that are counted only.
fn above(told: usize, all: usize) -> String {
    if told < all { format!(" (the first {told} above)") } else { String::new() }
}

fn group<'a>(diagnostic: &'a Diagnostic, line: &'a str, file: &'a str) -> Group<'a> {
    let level = match diagnostic.code.severity() {
        Severity::Warning => Level::WARNING,
        _ => Level::ERROR,
    };
    let byte = |column: usize| line.char_indices().nth(column - 1).map_or(line.len(), |(index, _)| index);
    let place = AnnotationKind::Primary.span(byte(diagnostic.column)..byte(diagnostic.end_column));
    let label = (!diagnostic.path.is_empty()).then(|| format!("at {}", diagnostic.path));
    let snippet = Snippet::source(line).line_start(diagnostic.line).path(file).annotation(place.label(label));
    let group = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str()).element(snippet);
    match &diagnostic.hint {
        Some(hint) => group.element(Level::HELP.message(hint.as_str())),
        None => group,
    }
}
