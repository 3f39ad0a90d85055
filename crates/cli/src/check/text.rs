//! Diagnostics with their lines for a terminal, and a summary at the end.

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, normalize_untrusted_str};
use tunnel_balancer_config::{Code, Diagnostic, Errors, Lines, Severity};

use super::redact::redacted;
use super::report::Report;
use super::summary;

/// The largest number of diagnostics per file. The other formats have all of them.
const MAX_SHOWN: usize = Errors::MAX_DIAGNOSTICS;

pub(super) fn write(report: &Report) -> String {
    let lines = Lines::new(&report.source);
    let renderer = Renderer::styled();
    let file = normalize_untrusted_str(&report.file);
    let mut text = String::new();
    let mut paragraph = |part: &str| {
        text += part;
        text += "\n\n";
    };
    let mut shown = report.diagnostics().len().min(MAX_SHOWN);
    for diagnostic in report.diagnostics().iter().take(MAX_SHOWN) {
        let line = match diagnostic.code {
            // The file may be a single line.
            Code::TooLarge => String::new(),
            _ => redacted(lines.line(diagnostic.line)),
        };
        paragraph(&renderer.render(&[group(diagnostic, &line, &file)]));
    }
    for warning in report.file_warnings.iter().take(MAX_SHOWN - shown) {
        shown += 1;
        let message = normalize_untrusted_str(&warning.message);
        paragraph(&renderer.render(&[Group::with_title(Level::WARNING.primary_title(message).id(warning.code))]));
    }
    text + &summary::write(report, shown)
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
