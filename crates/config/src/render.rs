//! Rendering of diagnostics with the lines of the file, like rustc.
//!
//! The output is for terminals and logs. So secrets in the lines are redacted, and control
//! characters are escaped.

use std::collections::BTreeMap;
use std::ops::Range;

use annotate_snippets::{Annotation, AnnotationKind, Level, Renderer, Snippet, normalize_untrusted_str};

use crate::diagnostic::{Code, Diagnostic, Errors, Related, Severity};
use crate::lines::Lines;
use crate::redact_line::{is_in_headers, redact_line};

/// A file whose diagnostics are rendered.
#[derive(Clone, Debug)]
pub struct SourceFile<'a> {
    name: String,
    lines: Lines<'a>,
    color: bool,
}

impl<'a> SourceFile<'a> {
    /// Creates a file from its name and its content. `color` adds ANSI escape sequences.
    pub fn new(name: &str, content: &'a str, color: bool) -> Self {
        Self { name: normalize_untrusted_str(name), lines: Lines::new(content), color }
    }

    /// Renders errors, with the number of further ones. The last line ends without a line break.
    pub fn render_errors(&self, errors: &Errors) -> String {
        let mut parts: Vec<String> = errors.diagnostics().iter().map(|one| self.render(one)).collect();
        match errors.suppressed() {
            0 => {}
            1 => parts.push("1 more error".to_owned()),
            more => parts.push(format!("{more} more errors")),
        }
        parts.join("\n\n")
    }

    /// Renders one diagnostic.
    pub fn render(&self, diagnostic: &Diagnostic) -> String {
        let level = match diagnostic.code.severity() {
            Severity::Warning => Level::WARNING,
            Severity::Error => Level::ERROR,
        };
        let message = normalize_untrusted_str(&diagnostic.message);
        let label = (!diagnostic.path.is_empty()).then(|| format!("at {}", normalize_untrusted_str(&diagnostic.path)));
        let primary = self.line(diagnostic.line, diagnostic.code);
        let mut related: BTreeMap<usize, (String, Vec<&Related>)> = BTreeMap::new();
        for other in &diagnostic.related {
            let line = || (self.line(other.line, diagnostic.code), Vec::new());
            related.entry(other.line).or_insert_with(line).1.push(other);
        }
        let here = AnnotationKind::Primary.span(span(&primary, diagnostic.column, diagnostic.end_column)).label(label);
        let same_line = related.remove(&diagnostic.line).into_iter().flat_map(|(_, related)| related);
        let same_line: Vec<Annotation<'_>> = same_line.map(|other| annotation(&primary, other)).collect();
        let snippet = Snippet::source(&*primary).line_start(diagnostic.line).path(&*self.name);
        let title = level.primary_title(message).id(diagnostic.code.as_str());
        let mut group = title.element(snippet.annotation(here).annotations(same_line));
        for (number, (line, others)) in &related {
            let snippet = Snippet::source(&**line).line_start(*number).path(&*self.name);
            group = group.element(snippet.annotations(others.iter().map(|other| annotation(line, other))));
        }
        if let Some(hint) = &diagnostic.hint {
            group = group.element(Level::HELP.message(normalize_untrusted_str(hint)));
        }
        let renderer = if self.color { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group])
    }

    fn line(&self, number: usize, code: Code) -> String {
        match code {
            // The file may be one line.
            Code::TooLarge => String::new(),
            _ => {
                let is_header = is_in_headers(number, |number| self.lines.line(number));
                redact_line(self.lines.line(number), is_header)
            }
        }
    }
}

fn annotation<'a>(line: &str, other: &'a Related) -> Annotation<'a> {
    AnnotationKind::Context.span(span(line, other.column, other.end_column)).label(&*other.label)
}

/// Returns the bytes from one column to another.
fn span(line: &str, column: usize, end_column: usize) -> Range<usize> {
    let byte = |column: usize| line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(index, _)| index);
    byte(column)..byte(end_column)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse;

    #[test]
    fn related_lines_are_shown_and_secrets_are_redacted() {
        let yaml = "services:
  a.example.com:
    - url: https://me:hunter2@a-1.example.com
    - url: a-2.example.com
      headers:
        X-Token: hunter2
        X-App: hunter3
        x-token: \"hunter2 ${TOKEN}\"
";
        let errors = parse(yaml).unwrap_err();
        let expected = "\
error[invalid-url]: a user name or password in the URL is not allowed
 --> services.yaml:3:12
  |
3 |     - url: https://**********@a-1.example.com
  |            ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ at services.\"a.example.com\"[0].url
  |
  = help: remove the part before the `@`

error[duplicate-key]: duplicate header `x-token`
 --> services.yaml:8:9
  |
8 |         x-token: *********${TOKEN}*
  |         ^^^^^^^ at services.\"a.example.com\"[1].headers
  |
 ::: services.yaml:6:9
  |
6 |         X-Token: *******
  |         ------- first defined here
  |
  = help: remove one of them: names of headers are case-insensitive";
        assert_eq!(SourceFile::new("services.yaml", yaml, false).render_errors(&errors), expected);
        assert!(SourceFile::new("services.yaml", yaml, true).render_errors(&errors).contains("\x1b["), "colors");
    }

    #[test]
    fn further_errors_are_counted_and_names_are_escaped() {
        let keys: String = (0..52).map(|number| format!("lost_{number}: 1\n")).collect();
        let rendered = SourceFile::new("a\u{1b}.yaml", &keys, false).render_errors(&parse(&keys).unwrap_err());
        assert!(rendered.ends_with("\n\n3 more errors") && !rendered.contains('\u{1b}'), "{rendered}");
    }
}
