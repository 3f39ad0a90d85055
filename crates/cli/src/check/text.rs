//! For people: each mistake with its line, the place marked, and a summary at the end.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};
use tunnel_balancer_config::{Diagnostic, Lines, Severity};

use super::Report;
use super::budget::Budget;
use super::mask::masked;

pub(super) fn write(report: &Report<'_>) -> String {
    let lines = Lines::new(report.source);
    let renderer = Renderer::styled();
    let file = normalize_untrusted_str(report.file);
    let mut text = String::new();
    let mut paragraph = |part: &str| {
        text += part;
        text += "\n\n";
    };
    for diagnostic in report.diagnostics() {
        let line = masked(lines.line(diagnostic.line));
        paragraph(&renderer.render(&[group(diagnostic, &line, &file)]));
    }
    if let Some(budget) = &report.budget {
        if let Some(warning) = budget.warning() {
            paragraph(&renderer.render(&[Group::with_title(Level::WARNING.primary_title(warning).id(Budget::CODE))]));
        }
    }
    match (report.checked, &report.budget) {
        (Ok(config), Some(budget)) => {
            let servers: usize = config.services.iter().map(|service| service.servers().len()).sum();
            let counts = [counted(config.services.len(), "service"), counted(servers, "server")].join(", ");
            text += &format!("{file}: {counts}, {}\n", counted_or_no(report.warnings(), "warning"));
            if !config.secrets.is_empty() {
                text += &format!("Secrets to set: {}\n", config.secrets.join(", "));
            }
            let assumed = budget.assumed;
            text += &format!(
                "\nOn Cloudflare's free plan, assuming {} requests a day (--requests-per-day) and {} isolates (--isolates):\n",
                assumed.requests_per_day, assumed.isolates
            );
            budget.lines().iter().for_each(|line| text += &format!("  {line}\n"));
        }
        _ => {
            let more = if report.more() > 0 {
                format!(", the first {} above", report.diagnostics().len())
            } else {
                String::new()
            };
            text += &format!("{file}: {}{more}\n", counted(report.errors(), "error"));
        }
    }
    text
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

fn counted(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

fn counted_or_no(number: usize, what: &str) -> String {
    if number == 0 { format!("no {what}s") } else { counted(number, what) }
}
