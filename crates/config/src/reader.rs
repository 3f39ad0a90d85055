//! Reading values that may be wrong, without stopping at the first that is.
//!
//! A setting is one entry of a table ([`Key`]): its name, what it is, and how it is read. From the
//! table come the reading itself, the list of what is allowed, the complaint about what is not, and
//! the schema.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::diagnostic::Code;
use crate::node::{Node, Value, ticked};
use crate::problem::{Problem, Problems};
use crate::secret::Secrets;
use crate::shape::{About, Shape};

/// A key that a map may have, and what it sets. What is not written stays as it was.
pub(crate) struct Key<T> {
    name: &'static str,
    /// Only with the feature `schema`.
    about: Option<About>,
    read: fn(&mut T, Field<'_>),
}

impl<T> Key<T> {
    pub(crate) const fn new(name: &'static str, text: &'static str, shape: Shape, read: fn(&mut T, Field<'_>)) -> Self {
        let about = if cfg!(feature = "schema") { Some(About::new(name, text, shape)) } else { None };
        Self { name, about, read }
    }

    /// A key of a file that has no schema.
    pub(crate) const fn plain(name: &'static str, read: fn(&mut T, Field<'_>)) -> Self {
        Self { name, about: None, read }
    }

    #[cfg(test)]
    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// What is known of the keys of a table.
    pub(crate) fn about(keys: &[Self]) -> Vec<About> {
        keys.iter().filter_map(|key| key.about.clone()).collect()
    }
}

/// One value, or one key, of the file.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    node: &'a Node<'a>,
    problems: &'a Problems,
    secrets: &'a Secrets<'a>,
}

impl<'a> Field<'a> {
    pub(crate) const fn new(node: &'a Node<'a>, problems: &'a Problems, secrets: &'a Secrets<'a>) -> Self {
        Self { node, problems, secrets }
    }

    pub(crate) const fn secrets(self) -> &'a Secrets<'a> {
        self.secrets
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

    /// Whether nothing was wrong with this value and what it is made of, so far.
    pub(crate) fn is_well(self) -> bool {
        !self.problems.any_at(&self.node.ids())
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

    /// What is written under `name`, where this is a map that has it.
    pub(crate) fn under(self, name: &str) -> Option<Self> {
        let Value::Map(entries) = &self.node.value else { return None };
        let is_named = |key: &Node<'_>| matches!(&key.value, Value::Text(text) if text == name);
        entries.iter().find(|(key, _)| is_named(key)).map(|(_, node)| Self { node, ..self })
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
        self.map_by(expected, key_text)
    }

    /// The same, with keys as `read_key` understands them.
    pub(crate) fn map_by(
        self,
        expected: &str,
        read_key: impl Fn(&'a Value<'a>) -> Result<&'a str, Problem>,
    ) -> Option<Map<'a>> {
        let Value::Map(nodes) = &self.node.value else {
            self.report(Problem::wrong_kind(expected, &self.node.value));
            return None;
        };
        let mut first = BTreeMap::new();
        let mut entries = Vec::with_capacity(nodes.len());
        for (key, value) in nodes {
            let (key, value) = (Self { node: key, ..self }, Self { node: value, ..self });
            let Some(name) = key.read(&read_key) else { continue };
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
        self.expect(name, hint);
        self.take(name)
    }

    /// Reports with `hint` that `name` is missing, if it is.
    pub(crate) fn expect(&self, name: &str, hint: &str) {
        if self.written(&[name]).first().is_none() {
            self.field.report(Problem::new(Code::MissingKey, format!("the key `{name}` is missing")).hint(hint));
        }
    }

    /// Reads every entry that is left by the table `keys` and reports the others. Whether all went
    /// well.
    pub(crate) fn apply<T>(mut self, target: &mut T, keys: &[Key<T>]) -> bool {
        let problems = self.field.problems;
        let before = problems.count();
        self.known.extend(keys.iter().map(|key| key.name));
        for Entry { name, key, value } in self.entries {
            match keys.iter().find(|known| known.name == name) {
                Some(known) => (known.read)(target, value),
                None if name == "<<" => key.report(
                    Problem::new(Code::UnknownKey, "merge keys are not supported")
                        .hint("what all services share goes into the top-level map `defaults`"),
                ),
                None => {
                    let known: Vec<String> = self.known.iter().map(|word| format!("`{word}`")).collect();
                    let list = known.join(", ");
                    key.report(Problem::unknown_or_renamed(Code::UnknownKey, "key", name, &self.known, &list));
                }
            }
        }
        problems.count() == before
    }

    /// Reports every entry that was not taken.
    pub(crate) fn finish(self) {
        self.apply(&mut (), &[]);
    }

    /// What is written here under `names`.
    pub(crate) fn written(&self, names: &[&str]) -> Written<'a> {
        let named = |name: &&str| self.entries.iter().find(|entry| entry.name == *name);
        Written(names.iter().filter_map(named).map(|entry| entry.value).collect())
    }

    pub(crate) fn into_entries(self) -> Vec<Entry<'a>> {
        self.entries
    }
}

/// Settings that may not fit together.
pub(crate) struct Written<'a>(Vec<Field<'a>>);

impl<'a> Written<'a> {
    pub(crate) fn first(&self) -> Option<Field<'a>> {
        self.0.first().copied()
    }

    /// The first, to blame when they do not fit. None where one is wrong by itself: then they might
    /// fit when it is right.
    pub(crate) fn blamed(&self) -> Option<Field<'a>> {
        self.first().filter(|_| self.0.iter().all(|field| field.is_well()))
    }
}

fn key_text<'a>(key: &'a Value<'a>) -> Result<&'a str, Problem> {
    quotable_text(key, "a text as key").map_err(|problem| match key {
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

/// A text that may look like something else, such as a name that is a number.
pub(crate) fn quotable_text<'a>(value: &'a Value<'a>, expected: &str) -> Result<&'a str, Problem> {
    text(value, expected).map_err(|problem| match value {
        Value::Bool(_) | Value::Integer(_) | Value::OtherNumber(_) => problem.hint("put it in double quotes"),
        _ => problem,
    })
}

/// One of a few words. `expected` lists them, and what else may stand in their place.
pub(crate) fn word<T: Clone>(value: &Value<'_>, what: &str, expected: &str, words: &[(&str, T)]) -> Result<T, Problem> {
    let found = text(value, expected)?;
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == found) {
        return Ok(meaning.clone());
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Err(Problem::unknown_or_renamed(Code::InvalidValue, what, found, &known, expected))
}

/// `false` for none, or what `read` understands.
pub(crate) fn or_off<'a, T>(
    value: &'a Value<'a>,
    read: impl FnOnce(&'a Value<'a>) -> Result<T, Problem>,
) -> Result<Option<T>, Problem> {
    match value {
        Value::Bool(false) => Ok(None),
        _ => read(value).map(Some).map_err(|problem| problem.or_hint("`false` turns it off")),
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

/// A percentage, written as a number alone.
pub(crate) fn percent(value: &Value<'_>, range: RangeInclusive<u32>) -> Result<u32, Problem> {
    number(value, range).map_err(|problem| match value {
        Value::Text(text) if text.ends_with('%') => problem.hint("write the number alone, without `%`"),
        _ => problem,
    })
}
