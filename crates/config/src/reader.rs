//! Reading values that may be wrong, without stopping at the first that is.
//!
//! A setting is one line of a table ([`Key`]): its name and how it is read. From the table come the reading itself, the
//! list of what is allowed and the complaint about what is not.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::diagnostic::Code;
use crate::node::{Node, Value, ticked};
use crate::problem::{Problem, Problems};

/// A key that a map may have, and what it sets. What is not written stays as it was.
pub(crate) type Key<T> = (&'static str, fn(&mut T, Field<'_>));

/// One value, or one key, of the file.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    node: &'a Node<'a>,
    problems: &'a Problems,
}

impl<'a> Field<'a> {
    pub(crate) const fn new(node: &'a Node<'a>, problems: &'a Problems) -> Self {
        Self { node, problems }
    }

    pub(crate) const fn node(self) -> &'a Node<'a> {
        self.node
    }

    pub(crate) const fn value(self) -> &'a Value<'a> {
        &self.node.value
    }

    pub(crate) fn report(self, problem: Problem) {
        self.problems.add(self.node.id, problem);
    }

    /// The value as `read` understands it. What it cannot understand is reported.
    pub(crate) fn read<T>(self, read: impl FnOnce(&'a Value<'a>) -> Result<T, Problem>) -> Option<T> {
        read(&self.node.value).map_err(|problem| self.report(problem)).ok()
    }

    /// Like [`read`](Self::read), into `target`.
    pub(crate) fn set<T>(self, target: &mut T, read: impl FnOnce(&'a Value<'a>) -> Result<T, Problem>) {
        if let Some(value) = self.read(read) {
            *target = value;
        }
    }

    /// The items of a list; of anything else, that one thing alone.
    pub(crate) fn one_or_many(self) -> Vec<Self> {
        match &self.node.value {
            Value::List(items) => items.iter().map(|node| Self { node, ..self }).collect(),
            _ => vec![self],
        }
    }

    /// The entries of a map. `expected` completes "expected ..., found a list".
    pub(crate) fn map(self, expected: &str) -> Option<Map<'a>> {
        let Value::Map(nodes) = &self.node.value else {
            self.report(Problem::wrong_type(expected, &self.node.value));
            return None;
        };
        let mut first = BTreeMap::new();
        let mut entries = Vec::with_capacity(nodes.len());
        for (key, value) in nodes {
            let (key, value) = (Self { node: key, ..self }, Self { node: value, ..self });
            let Some(name) = key.read(key_text) else { continue };
            match first.insert(name, key.node.id) {
                None => entries.push(Entry { name, key, value }),
                Some(other) => {
                    first.insert(name, other);
                    let problem = Problem::new(Code::DuplicateKey, format!("{} is written twice", ticked(name)));
                    key.report(problem.see(other).hint("keep one of the two"));
                }
            }
        }
        Some(Map { field: self, entries, known: Vec::new() })
    }
}

/// A map whose entries are taken one by one; what is left at the end is unknown.
pub(crate) struct Map<'a> {
    field: Field<'a>,
    entries: Vec<Entry<'a>>,
    known: Vec<&'static str>,
}

/// One entry of a map.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: Field<'a>,
    pub(crate) value: Field<'a>,
}

impl<'a> Map<'a> {
    /// Takes out the value of `name`.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<Field<'a>> {
        self.known.push(name);
        let at = self.entries.iter().position(|entry| entry.name == name)?;
        Some(self.entries.remove(at).value)
    }

    /// Takes out the value of `name`; that it is missing is reported with `hint`.
    pub(crate) fn require(&mut self, name: &'static str, hint: &str) -> Option<Field<'a>> {
        let taken = self.take(name);
        if taken.is_none() {
            self.field.report(Problem::new(Code::MissingKey, format!("the key `{name}` is missing")).hint(hint));
        }
        taken
    }

    /// Reads every entry that is left by the table `keys` and reports the others. Whether all went well.
    pub(crate) fn apply<T>(mut self, target: &mut T, keys: &[Key<T>]) -> bool {
        let problems = self.field.problems;
        let before = problems.count();
        self.known.extend(keys.iter().map(|(name, _)| name));
        for Entry { name, key, value } in self.entries {
            match keys.iter().find(|(known, _)| *known == name) {
                Some((_, read)) => read(target, value),
                None if name == "<<" => key.report(
                    Problem::new(Code::UnknownKey, "merge keys are not supported")
                        .hint("what all services share goes into the top-level map `defaults`"),
                ),
                None => key.report(Problem::unknown(Code::UnknownKey, "key", name, &self.known)),
            }
        }
        problems.count() == before
    }

    /// Reports every entry that was not taken.
    pub(crate) fn finish(self) {
        self.apply(&mut (), &[]);
    }

    /// The first of `names` that is written here: the one to blame when they do not fit together.
    pub(crate) fn first_of(&self, names: &[&str]) -> Option<Field<'a>> {
        names.iter().find_map(|name| self.entries.iter().find(|entry| entry.name == *name)).map(|entry| entry.value)
    }

    pub(crate) fn into_entries(self) -> Vec<Entry<'a>> {
        self.entries
    }
}

fn key_text<'a>(key: &'a Value<'a>) -> Result<&'a str, Problem> {
    text(key, "a text as key").map_err(|problem| match key {
        Value::Bool(_) | Value::Integer(_) | Value::OtherNumber(_) => problem.hint("put it in double quotes"),
        Value::Map(_) => problem.hint("`{` begins a map: put a text that begins with it in double quotes"),
        _ => problem,
    })
}

/// Any text. `expected` completes "expected ..., found a list".
pub(crate) fn text<'a>(value: &'a Value<'a>, expected: &str) -> Result<&'a str, Problem> {
    match value {
        Value::Text(text) => Ok(text),
        _ => Err(Problem::wrong_type(expected, value)),
    }
}

/// `true` or `false`.
pub(crate) fn boolean(value: &Value<'_>) -> Result<bool, Problem> {
    let problem = || Problem::wrong_type("`true` or `false`", value);
    match value {
        Value::Bool(value) => Ok(*value),
        Value::Text(text) => Err(match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "true" => problem().hint("write `true`, without quotes"),
            "no" | "off" | "false" => problem().hint("write `false`, without quotes"),
            _ => problem(),
        }),
        _ => Err(problem()),
    }
}

/// A whole number within `range`.
pub(crate) fn number(value: &Value<'_>, range: RangeInclusive<u32>) -> Result<u32, Problem> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    match value {
        Value::Integer(found) => u32::try_from(*found)
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| Problem::new(Code::OutOfRange, format!("expected {expected}, found {found}"))),
        Value::Text(text) if text.parse::<u32>().is_ok() => {
            Err(Problem::wrong_type(&expected, value).hint("write the number without quotes"))
        }
        _ => Err(Problem::wrong_type(&expected, value)),
    }
}
