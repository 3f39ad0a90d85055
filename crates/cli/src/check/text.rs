//! Diagnostics with their lines for a terminal, and a summary at the end.

use annotate_snippets::{Group, Level, Renderer, normalize_untrusted_str};
use tunnel_balancer_config::{Errors, SourceFile};

use super::report::Report;
use super::summary;

/// The largest number of diagnostics per file. The other formats have all of them.
const MAX_SHOWN: usize = Errors::MAX_DIAGNOSTICS;

pub(super) fn write(report: &Report) -> String {
    let source = SourceFile::new(&report.file, &report.source, true);
    let mut text = String::new();
    let mut paragraph = |part: &str| {
        text += part;
        text += "\n\n";
    };
    let mut shown = report.diagnostics().len().min(MAX_SHOWN);
    report.diagnostics().iter().take(MAX_SHOWN).for_each(|diagnostic| paragraph(&source.render(diagnostic)));
    for warning in report.file_warnings.iter().take(MAX_SHOWN - shown) {
        shown += 1;
        let message = normalize_untrusted_str(&warning.message);
        paragraph(
            &Renderer::styled().render(&[Group::with_title(Level::WARNING.primary_title(message).id(warning.code))]),
        );
    }
    text + &summary::write(report, shown)
}
