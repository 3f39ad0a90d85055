//! Mistakes as they are found, before anybody knows where in the text they are.
//!
//! Whoever reads a value says what is wrong with it and goes on. Lines, columns and paths are
//! looked up at the end, once, because that costs time and a correct file has none to look up.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use crate::diagnostic::{Code, Diagnostic, Errors, Severity};
use crate::node::{Node, NodeId, Value, backticked, locate};
use crate::syntax::{Lines, Position, START};
use crate::{renamed, span, suggest, yaml};

/// What is wrong with one value.
#[derive(Debug)]
pub(crate) struct Report {
    code: Code,
    message: String,
    hint: Option<String>,
    /// Another node that has to do with it, whose line is told.
    related: Option<NodeId>,
}

impl Report {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, related: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// For want of a better one.
    pub(crate) fn default_hint(self, hint: &str) -> Self {
        Self { hint: self.hint.or_else(|| Some(hint.to_owned())), ..self }
    }

    #[cfg(test)]
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn related(self, other: NodeId) -> Self {
        Self { related: Some(other), ..self }
    }

    /// `expected` completes "expected ..., found a list".
    pub(crate) fn wrong_type(expected: &str, found: &Value<'_>) -> Self {
        Self::wrong(expected, found, &found.to_string())
    }

    /// The same where secrets are usual: says what kind of thing was found and nothing of what is
    /// in it.
    pub(crate) fn wrong_type_redacted(expected: &str, found: &Value<'_>) -> Self {
        Self::wrong(expected, found, found.kind())
    }

    fn wrong(expected: &str, found: &Value<'_>, what: &str) -> Self {
        let report = Self::new(Code::WrongType, format!("expected {expected}, found {what}"));
        match found {
            Value::Null => report.hint("write a value, or leave it out"),
            Value::Tagged(_) => report.hint("tags are not used here"),
            _ => report,
        }
    }

    /// A `word` that is none of `known`, and the one of them that was probably meant, or else the
    /// `list` of them.
    pub(crate) fn unknown(code: Code, what: &str, word: &str, known: &[&str], list: &str) -> Self {
        let hint = match suggest::nearest(word, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known here: {list}"),
        };
        Self::new(code, format!("unknown {what} {}", backticked(word))).hint(hint)
    }

    /// Like [`unknown`](Self::unknown), for a `word` of the format itself. If the word was renamed,
    /// the hint has the new name.
    pub(crate) fn unknown_or_renamed(code: Code, what: &str, word: &str, known: &[&str], list: &str) -> Self {
        let report = Self::unknown(code, what, word, known, list);
        match renamed::hint(word, known) {
            Some(hint) => report.hint(hint),
            None => report,
        }
    }
}

/// All that is wrong so far, and apart from it what is probably not meant so.
#[derive(Debug)]
pub(crate) struct Reports {
    found: RefCell<Found>,
    wants_warnings: bool,
}

#[derive(Debug, Default)]
struct Found {
    told: Vec<(NodeId, Report)>,
    more: usize,
    warnings: Vec<(NodeId, Report)>,
}

impl Reports {
    pub(crate) fn new(wants_warnings: bool) -> Self {
        Self { found: RefCell::default(), wants_warnings }
    }

    pub(crate) fn add(&self, at: NodeId, report: Report) {
        let mut found = self.found.borrow_mut();
        if report.code.severity() == Severity::Warning {
            if self.wants_warnings {
                found.warnings.push((at, report));
            }
        } else if found.told.len() < Errors::MAX_DIAGNOSTICS {
            found.told.push((at, report));
        } else {
            found.more += 1;
        }
    }

    /// Whether any was found at these nodes.
    pub(crate) fn any_at(&self, nodes: &RangeInclusive<NodeId>) -> bool {
        self.found.borrow().told.iter().any(|(at, _)| nodes.contains(at))
    }

    pub(crate) fn count(&self) -> usize {
        let found = self.found.borrow();
        found.told.len() + found.more
    }

    /// What is probably not meant so.
    ///
    /// # Errors
    /// With what is wrong, and nothing else: a wrong file may well mean something else when it is
    /// right.
    pub(crate) fn into_warnings(self, text: &str, root: &Node<'_>) -> Result<Vec<Diagnostic>, Errors> {
        let Found { told, more, warnings } = self.found.into_inner();
        if told.is_empty() {
            Ok(located(warnings, text, root))
        } else {
            Err(Errors::new(located(told, text, root), more))
        }
    }
}

/// Looks up where the reports are, and puts them in the order of the text.
fn located(reports: Vec<(NodeId, Report)>, text: &str, root: &Node<'_>) -> Vec<Diagnostic> {
    if reports.is_empty() {
        return Vec::new();
    }
    let positions =
        yaml::positions(text, reports.iter().flat_map(|(at, report)| [Some(*at), report.related]).flatten());
    let position = |id: NodeId| positions.get(&id).copied().unwrap_or(START);
    let lines = Lines::new(text);
    let diagnostics = reports.into_iter().map(|(at, report)| {
        let Position { line, column } = position(at);
        let (path, node) = locate(root, at);
        let message = match report.related.map(|other| position(other).line) {
            Some(line) => format!("{} (see line {line})", report.message),
            None => report.message,
        };
        let end_column = span::end(lines.line(line), column, &node.value);
        Diagnostic { line, column, end_column, path, message, hint: report.hint, code: report.code }
    });
    let mut diagnostics: Vec<Diagnostic> = diagnostics.collect();
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    diagnostics
}
