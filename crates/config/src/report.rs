//! Reports of invalid values, collected while a file is read.
//!
//! A report refers to a node. Positions and paths are found at the end, in one more reading of the
//! text, so that a valid file does not pay for them.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use crate::diagnostic::{Code, Diagnostic, Errors, Related, Severity};
use crate::lines::{Lines, Position, START};
use crate::node::{Node, NodeId, Value, backticked, locate};
use crate::{span, suggest, yaml};

/// An error or a warning about one node.
#[derive(Debug)]
pub(crate) struct Report {
    code: Code,
    message: String,
    hint: Option<String>,
    /// Another node that explains the report, with a label for it.
    related: Option<(NodeId, &'static str)>,
}

impl Report {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, related: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// Sets the hint if there is none.
    pub(crate) fn default_hint(self, hint: &str) -> Self {
        Self { hint: self.hint.or_else(|| Some(hint.to_owned())), ..self }
    }

    /// Sets the hint for a scalar that is a string in quotes only.
    pub(crate) fn hint_at_quotes(self, found: &Value<'_>) -> Self {
        match found {
            Value::Bool(_) | Value::Integer(_) | Value::OtherNumber(_) => self.hint("put it in double quotes"),
            _ => self,
        }
    }

    pub(crate) fn related(self, node: NodeId, label: &'static str) -> Self {
        Self { related: Some((node, label)), ..self }
    }

    #[cfg(test)]
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    /// Creates the report "expected ..., found a list".
    pub(crate) fn wrong_type(expected: &str, found: &Value<'_>) -> Self {
        Self::wrong(expected, found, &found.to_string())
    }

    /// Creates the same report without the content of the value, which may be a secret.
    pub(crate) fn wrong_type_redacted(expected: &str, found: &Value<'_>) -> Self {
        Self::wrong(expected, found, found.kind())
    }

    fn wrong(expected: &str, value: &Value<'_>, found: &str) -> Self {
        let report = Self::new(Code::WrongType, format!("expected {expected}, found {found}"));
        match value {
            Value::Null => report.hint("write a value, or remove the key"),
            Value::Tagged(_) => report.hint("remove the tag: no value has one"),
            _ => report,
        }
    }

    /// Creates the report of a `word` that is not in `known`. The hint is the most similar one, or
    /// the first ones.
    pub(crate) fn unknown(code: Code, what: &str, word: &str, known: &[&str]) -> Self {
        let hint = match suggest::nearest(word, known) {
            Some(similar) => format!("did you mean `{similar}`?"),
            None => format!("expected one of {}", list(known)),
        };
        Self::new(code, format!("unknown {what} {}", backticked(word))).hint(hint)
    }
}

/// Returns a list of names for a hint.
pub(crate) fn list(names: &[&str]) -> String {
    /// A hint should fit on a few lines of a terminal.
    const MAX: usize = 10;
    let first: Vec<String> = names.iter().take(MAX).map(|name| backticked(name)).collect();
    let more = names.len().saturating_sub(MAX);
    first.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// The reports about a file: errors, and apart from them warnings.
#[derive(Debug)]
pub(crate) struct Reports {
    collected: RefCell<Collected>,
    wants_warnings: bool,
}

#[derive(Debug, Default)]
struct Collected {
    reported: Vec<(NodeId, Report)>,
    suppressed: usize,
    warnings: Vec<(NodeId, Report)>,
}

impl Reports {
    pub(crate) fn new(wants_warnings: bool) -> Self {
        Self { collected: RefCell::default(), wants_warnings }
    }

    pub(crate) fn add(&self, at: NodeId, report: Report) {
        let mut collected = self.collected.borrow_mut();
        if report.code.severity() == Severity::Warning {
            if self.wants_warnings {
                collected.warnings.push((at, report));
            }
        } else if collected.reported.len() < Errors::MAX_DIAGNOSTICS {
            collected.reported.push((at, report));
        } else {
            collected.suppressed += 1;
        }
    }

    /// Returns whether there is an error at one of these nodes.
    pub(crate) fn any_at(&self, nodes: &RangeInclusive<NodeId>) -> bool {
        self.collected.borrow().reported.iter().any(|(at, _)| nodes.contains(at))
    }

    /// Returns the number of errors.
    pub(crate) fn count(&self) -> usize {
        let collected = self.collected.borrow();
        collected.reported.len() + collected.suppressed
    }

    /// Returns the warnings of a valid file.
    ///
    /// # Errors
    /// With the errors alone: warnings may be wrong while the file is invalid.
    pub(crate) fn into_warnings(self, text: &str, root: &Node<'_>) -> Result<Vec<Diagnostic>, Errors> {
        let Collected { reported, suppressed, warnings } = self.collected.into_inner();
        if reported.is_empty() {
            Ok(located(warnings, text, root))
        } else {
            Err(Errors::new(located(reported, text, root), suppressed))
        }
    }
}

/// The largest number of lists and maps that are located, because each takes a reading of the text.
/// Further ones have the position of their first scalar.
const MAX_CONTAINERS: usize = 2 * Errors::MAX_DIAGNOSTICS;

/// Adds positions and paths to reports, and sorts them by position.
fn located(reports: Vec<(NodeId, Report)>, text: &str, root: &Node<'_>) -> Vec<Diagnostic> {
    if reports.is_empty() {
        return Vec::new();
    }
    let mut containers = 0;
    let mut find = |id| {
        let (path, node) = locate(root, id);
        containers += usize::from(matches!(node.value, Value::List(_) | Value::Map(_)));
        (path, if containers > MAX_CONTAINERS { node.first_scalar() } else { node })
    };
    let found: Vec<_> =
        reports.iter().map(|(at, report)| (find(*at), report.related.map(|(id, _)| find(id).1))).collect();
    let nodes = found.iter().flat_map(|((_, node), related)| [Some(*node), *related]).flatten();
    let positions = yaml::positions(text, nodes.map(|node| node.id));
    let lines = Lines::new(text);
    let place = |node: &Node<'_>| {
        let Position { line, column } = positions.get(node.id).unwrap_or(START);
        (line, column, span::end(lines.line(line), column, &node.value))
    };
    let diagnostics = reports.into_iter().zip(found).map(|((_, report), ((path, node), other))| {
        let Report { code, message, hint, related } = report;
        let (line, column, end_column) = place(node);
        let related = related.zip(other).map(|((_, label), other)| {
            let (line, column, end_column) = place(other);
            Related { line, column, end_column, label: label.to_owned() }
        });
        Diagnostic { line, column, end_column, path, message, hint, code, related: related.into_iter().collect() }
    });
    // Few, and nearly in order. A sort would add several kilobytes to a Worker.
    let mut sorted = Vec::<Diagnostic>::new();
    for diagnostic in diagnostics {
        let position = (diagnostic.line, diagnostic.column);
        sorted.insert(sorted.partition_point(|other| (other.line, other.column) <= position), diagnostic);
    }
    sorted
}
