//! Mistakes as they are found, before anybody knows where in the text they are.
//!
//! Whoever reads a value says what is wrong with it and goes on. Lines, columns and paths are looked up at the end, once,
//! because that costs time and a correct file has none to look up.

use std::cell::RefCell;
use std::ops::RangeInclusive;

use crate::diagnostic::{Code, Diagnostic, Errors};
use crate::node::{Node, NodeId, Value, path_to, ticked};
use crate::{suggest, yaml};

/// What is wrong with one value.
#[derive(Debug)]
pub(crate) struct Problem {
    code: Code,
    message: String,
    hint: Option<String>,
    /// Another node that has to do with it, whose line is told.
    see: Option<NodeId>,
}

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, see: None }
    }

    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// For want of a better one.
    pub(crate) fn or_hint(self, hint: &str) -> Self {
        Self { hint: self.hint.or_else(|| Some(hint.to_owned())), ..self }
    }

    #[cfg(test)]
    pub(crate) const fn code(&self) -> Code {
        self.code
    }

    pub(crate) fn see(self, other: NodeId) -> Self {
        Self { see: Some(other), ..self }
    }

    /// `expected` completes "expected ..., found a list".
    pub(crate) fn wrong_type(expected: &str, found: &Value<'_>) -> Self {
        let problem = Self::new(Code::WrongType, format!("expected {expected}, found {found}"));
        match found {
            Value::Null => problem.hint("write a value, or leave it out"),
            Value::Tagged(_) => problem.hint("tags are not used here"),
            _ => problem,
        }
    }

    /// A `word` that is none of `known`, and the one of them that was probably meant, or else the `list` of them.
    pub(crate) fn unknown(code: Code, what: &str, word: &str, known: &[&str], list: &str) -> Self {
        let hint = match suggest::nearest(word, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("known here: {list}"),
        };
        Self::new(code, format!("unknown {what} {}", ticked(word))).hint(hint)
    }
}

/// All that is wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Problems(RefCell<Found>);

#[derive(Debug, Default)]
struct Found {
    told: Vec<(NodeId, Problem)>,
    more: usize,
}

impl Problems {
    pub(crate) fn add(&self, at: NodeId, problem: Problem) {
        let mut found = self.0.borrow_mut();
        if found.told.len() < Errors::MAX_DIAGNOSTICS {
            found.told.push((at, problem));
        } else {
            found.more += 1;
        }
    }

    /// Whether any was found at these nodes.
    pub(crate) fn any_at(&self, nodes: &RangeInclusive<NodeId>) -> bool {
        self.0.borrow().told.iter().any(|(at, _)| nodes.contains(at))
    }

    pub(crate) fn count(&self) -> usize {
        let found = self.0.borrow();
        found.told.len() + found.more
    }

    /// Looks up where the problems are. `None` without any.
    pub(crate) fn into_errors(self, text: &str, root: &Node<'_>) -> Option<Errors> {
        let Found { told, more } = self.0.into_inner();
        let diagnostics: Vec<Diagnostic> = told
            .into_iter()
            .map(|(at, problem)| {
                let position = yaml::position(text, at);
                let message = match problem.see.map(|other| yaml::position(text, other).line) {
                    Some(line) => format!("{} (see line {line})", problem.message),
                    None => problem.message,
                };
                Diagnostic {
                    line: position.line,
                    column: position.column,
                    path: path_to(root, at),
                    message,
                    hint: problem.hint,
                    code: problem.code,
                }
            })
            .collect();
        (!diagnostics.is_empty()).then(|| Errors::new(diagnostics, more))
    }
}
