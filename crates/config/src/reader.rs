//! Reading values that may be wrong, without stopping at the first that is.
//!
//! A setting is one entry of a table ([`Setting`]): its name, what it is, and how it is read. From the
//! table come the reading itself, the list of what is allowed, the complaint about what is not, and
//! the schema.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::diagnostic::Code;
use crate::node::{Node, Value, backticked};
use crate::report::{Report, Reports};
use crate::secret::Secrets;
use crate::value_schema::{SettingDoc, ValueSchema};

/// A key that a map may have, and what it sets. What is not written stays as it was.
pub(crate) struct Setting<T> {
    name: &'static str,
    /// Only with the feature `schema`.
    about: Option<SettingDoc>,
    read: fn(&mut T, Field<'_>),
}

impl<T> Setting<T> {
    pub(crate) const fn new(
        name: &'static str,
        text: &'static str,
        schema: ValueSchema,
        read: fn(&mut T, Field<'_>),
    ) -> Self {
        let about = if cfg!(feature = "schema") { Some(SettingDoc::new(name, text, schema)) } else { None };
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
    pub(crate) fn docs(keys: &[Self]) -> Vec<SettingDoc> {
        keys.iter().filter_map(|key| key.about.clone()).collect()
    }
}

/// One value, or one key, of the file.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    node: &'a Node<'a>,
    reports: &'a Reports,
    secrets: &'a Secrets<'a>,
}

impl<'a> Field<'a> {
    pub(crate) const fn new(node: &'a Node<'a>, reports: &'a Reports, secrets: &'a Secrets<'a>) -> Self {
        Self { node, reports, secrets }
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

    pub(crate) fn report(self, report: Report) {
        self.reports.add(self.node.id, report);
    }

    /// Whether nothing was wrong with this value and what it is made of, so far.
    pub(crate) fn is_valid(self) -> bool {
        !self.reports.any_at(&self.node.ids())
    }

    /// The value as `read` understands it. What it cannot understand is reported.
    pub(crate) fn read<T>(self, read: impl FnOnce(&'a Value<'a>) -> Result<T, Report>) -> Option<T> {
        read(&self.node.value).map_err(|report| self.report(report)).ok()
    }

    /// Like [`read`](Self::read), into `target`.
    pub(crate) fn set<T>(self, target: &mut T, read: impl FnOnce(&'a Value<'a>) -> Result<T, Report>) {
        if let Some(value) = self.read(read) {
            *target = value;
        }
    }

    /// What is written under `name`, where this is a map that has it.
    pub(crate) fn under(self, name: &str) -> Option<Self> {
        let Value::Map(entries) = &self.node.value else { return None };
        let is_named = |key: &Node<'_>| matches!(&key.value, Value::String(text) if text == name);
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
        self.map_by(expected, key_string)
    }

    /// The same, with keys as `read_key` understands them.
    pub(crate) fn map_by(
        self,
        expected: &str,
        read_key: impl Fn(&'a Value<'a>) -> Result<&'a str, Report>,
    ) -> Option<Map<'a>> {
        let Value::Map(nodes) = &self.node.value else {
            self.report(Report::wrong_type_redacted(expected, &self.node.value));
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
                    let report = Report::new(Code::DuplicateKey, format!("{} is written twice", backticked(name)));
                    key.report(report.related(other).hint("keep one of the two"));
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
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<Field<'a>> {
        self.known.push(name);
        let at = self.entries.iter().position(|entry| entry.name == name)?;
        Some(self.entries.remove(at).value)
    }

    /// Takes out the value of `name`; that it is missing is reported with `hint`.
    pub(crate) fn required(&mut self, name: &'static str, hint: &str) -> Option<Field<'a>> {
        self.check_required(name, hint);
        self.optional(name)
    }

    /// Reports with `hint` that `name` is missing, if it is.
    pub(crate) fn check_required(&self, name: &str, hint: &str) {
        if self.present(&[name]).first().is_none() {
            self.field.report(Report::new(Code::MissingKey, format!("the key `{name}` is missing")).hint(hint));
        }
    }

    /// Reads every entry that is left by the table `keys` and reports the others. Whether all went
    /// well.
    pub(crate) fn read_into<T>(mut self, target: &mut T, keys: &[Setting<T>]) -> bool {
        let reports = self.field.reports;
        let before = reports.count();
        self.known.extend(keys.iter().map(|key| key.name));
        for Entry { name, key, value } in self.entries {
            match keys.iter().find(|known| known.name == name) {
                Some(known) => (known.read)(target, value),
                None if name == "<<" => key.report(
                    Report::new(Code::UnknownKey, "merge keys are not supported")
                        .hint("what all services share goes into the top-level map `defaults`"),
                ),
                None => {
                    let known: Vec<String> = self.known.iter().map(|word| format!("`{word}`")).collect();
                    let list = known.join(", ");
                    key.report(Report::unknown_or_renamed(Code::UnknownKey, "key", name, &self.known, &list));
                }
            }
        }
        reports.count() == before
    }

    /// Reports every entry that was not taken.
    pub(crate) fn deny_unknown(self) {
        self.read_into(&mut (), &[]);
    }

    /// What is written here under `names`.
    pub(crate) fn present(&self, names: &[&str]) -> Present<'a> {
        let named = |name: &&str| self.entries.iter().find(|entry| entry.name == *name);
        Present(names.iter().filter_map(named).map(|entry| entry.value).collect())
    }

    pub(crate) fn into_entries(self) -> Vec<Entry<'a>> {
        self.entries
    }
}

/// Settings that may not fit together.
pub(crate) struct Present<'a>(Vec<Field<'a>>);

impl<'a> Present<'a> {
    pub(crate) fn first(&self) -> Option<Field<'a>> {
        self.0.first().copied()
    }

    /// The first, to blame when they do not fit. None where one is wrong by itself: then they might
    /// fit when it is right.
    pub(crate) fn culprit(&self) -> Option<Field<'a>> {
        self.first().filter(|_| self.0.iter().all(|field| field.is_valid()))
    }
}

fn key_string<'a>(key: &'a Value<'a>) -> Result<&'a str, Report> {
    quotable_string(key, "a text as key").map_err(|report| match key {
        Value::Map(_) => report.hint("`{` begins a map: put a text that begins with it in double quotes"),
        _ => report,
    })
}

/// Any text. `expected` completes "expected ..., found a list".
pub(crate) fn string<'a>(value: &'a Value<'a>, expected: &str) -> Result<&'a str, Report> {
    match value {
        Value::String(text) => Ok(text),
        _ => Err(Report::wrong_type(expected, value)),
    }
}

/// A text that may look like something else, such as a name that is a number.
pub(crate) fn quotable_string<'a>(value: &'a Value<'a>, expected: &str) -> Result<&'a str, Report> {
    string(value, expected).map_err(|report| match value {
        Value::Bool(_) | Value::Integer(_) | Value::OtherNumber(_) => report.hint("put it in double quotes"),
        _ => report,
    })
}

/// One of a few words. `expected` lists them, and what else may stand in their place.
pub(crate) fn one_of<T: Clone>(
    value: &Value<'_>,
    what: &str,
    expected: &str,
    words: &[(&str, T)],
) -> Result<T, Report> {
    let found = string(value, expected)?;
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == found) {
        return Ok(meaning.clone());
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    Err(Report::unknown_or_renamed(Code::InvalidValue, what, found, &known, expected))
}

/// `false` for none, or what `read` understands.
pub(crate) fn or_off<'a, T>(
    value: &'a Value<'a>,
    read: impl FnOnce(&'a Value<'a>) -> Result<T, Report>,
) -> Result<Option<T>, Report> {
    match value {
        Value::Bool(false) => Ok(None),
        _ => read(value).map(Some).map_err(|report| report.default_hint("`false` turns it off")),
    }
}

/// `true` or `false`.
pub(crate) fn boolean(value: &Value<'_>) -> Result<bool, Report> {
    let report = || Report::wrong_type("`true` or `false`", value);
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(text) => Err(match text.to_ascii_lowercase().as_str() {
            "yes" | "on" | "true" => report().hint("write `true`, without quotes"),
            "no" | "off" | "false" => report().hint("write `false`, without quotes"),
            _ => report(),
        }),
        _ => Err(report()),
    }
}

/// A whole number within `range`.
pub(crate) fn number(value: &Value<'_>, range: RangeInclusive<u32>) -> Result<u32, Report> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    match value {
        Value::Integer(found) => u32::try_from(*found)
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| Report::new(Code::OutOfRange, format!("expected {expected}, found {found}"))),
        Value::String(text) if text.parse::<u32>().is_ok() => {
            Err(Report::wrong_type(&expected, value).hint("write the number without quotes"))
        }
        _ => Err(Report::wrong_type(&expected, value)),
    }
}

/// A percentage, written as a number alone.
pub(crate) fn percent(value: &Value<'_>, range: RangeInclusive<u32>) -> Result<u32, Report> {
    number(value, range).map_err(|report| match value {
        Value::String(text) if text.ends_with('%') => report.hint("write the number alone, without `%`"),
        _ => report,
    })
}
