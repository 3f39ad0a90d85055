//! Readers of maps and their values, which report an invalid value and continue.
//!
//! A setting is an entry of a table ([`Setting`]): its name, its description, and the function that
//! reads it. The table also gives the expected keys of a message, the schema and the reference.

use std::collections::BTreeMap;

use crate::diagnostic::Code;
use crate::environment::Environment;
use crate::node::{Node, Value, backticked};
use crate::platform::Platform;
use crate::primitives::quotable_string;
use crate::report::{Report, Reports};
use crate::secrets::Secrets;
use crate::slips;
use crate::unknown_key::{UnknownKey, unknown_key};
use crate::value_schema::{SettingDoc, ValueSchema};

/// A key of a map, and the value that it sets. A setting that is absent keeps its value.
pub(crate) struct Setting<T> {
    name: &'static str,
    /// Present with the feature `schema`.
    doc: Option<SettingDoc>,
    read: fn(&mut T, Field<'_>),
}

impl<T> Setting<T> {
    /// Creates a setting from its documentation (see [`SettingDoc`]) and the function that reads
    /// it.
    pub(crate) const fn new(
        name: &'static str,
        default: &'static str,
        text: &'static str,
        schema: ValueSchema,
        read: fn(&mut T, Field<'_>),
    ) -> Self {
        let doc = SettingDoc { name, default, text, schema, required: false };
        let doc = if cfg!(feature = "schema") { Some(doc) } else { None };
        Self { name, doc, read }
    }

    /// Creates a setting of a file without a schema.
    pub(crate) const fn plain(name: &'static str, read: fn(&mut T, Field<'_>)) -> Self {
        Self { name, doc: None, read }
    }

    pub(crate) const fn name(&self) -> &'static str {
        self.name
    }

    /// Returns the documentation of a table.
    pub(crate) fn docs(keys: &[Self]) -> Vec<SettingDoc> {
        keys.iter().filter_map(|key| key.doc.clone()).collect()
    }
}

/// A value or a key of the file.
#[derive(Clone, Copy)]
pub(crate) struct Field<'a> {
    node: &'a Node<'a>,
    reports: &'a Reports,
    environment: &'a Environment<'a>,
}

impl<'a> Field<'a> {
    pub(crate) const fn new(node: &'a Node<'a>, reports: &'a Reports, environment: &'a Environment<'a>) -> Self {
        Self { node, reports, environment }
    }

    pub(crate) const fn secrets(self) -> &'a Secrets<'a> {
        &self.environment.secrets
    }

    /// Returns the ASCII form of an internationalized hostname.
    pub(crate) fn to_ascii(self, name: &str) -> Option<String> {
        (self.environment.to_ascii)(name)
    }

    /// Returns whether the file may be served by this program.
    pub(crate) fn may_run_on(self, platform: Platform) -> bool {
        self.environment.platform.is_none_or(|only| only == platform)
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

    /// Reports a setting that only `serve` supports, if the file is for the Worker.
    pub(crate) fn deny_on_worker(self, setting: &str, hint: &str) {
        if !self.may_run_on(Platform::Serve) {
            let message = format!("{} is not supported by the Worker", backticked(setting));
            self.report(Report::new(Code::Unsupported, message).hint(hint));
        }
    }

    /// Returns whether no error was reported in this value so far.
    pub(crate) fn is_valid(self) -> bool {
        !self.reports.any_at(&self.node.ids())
    }

    /// Returns the value that `read` returns, or reports its error.
    pub(crate) fn read<T>(self, read: impl FnOnce(&'a Value<'a>) -> Result<T, Report>) -> Option<T> {
        read(&self.node.value).map_err(|report| self.report(report)).ok()
    }

    /// Reads the value into `target`, or reports the error.
    pub(crate) fn set<T>(self, target: &mut T, read: impl FnOnce(&'a Value<'a>) -> Result<T, Report>) {
        if let Some(value) = self.read(read) {
            *target = value;
        }
    }

    /// Returns the value of a key, if this is a map that has it.
    pub(crate) fn get(self, name: &str) -> Option<Self> {
        self.node.get(name).map(|node| Self { node, ..self })
    }

    /// Returns the items of a list, or else the value itself.
    pub(crate) fn one_or_many(self) -> Vec<Self> {
        match &self.node.value {
            Value::List(items) => items.iter().map(|node| Self { node, ..self }).collect(),
            _ => vec![self],
        }
    }

    /// Returns the entries of a map. `expected` completes "expected ..., found a list".
    pub(crate) fn map(self, expected: &str) -> Option<Map<'a>> {
        self.map_by(expected, key_string)
    }

    /// Returns the entries of a map with keys that `read_key` accepts.
    pub(crate) fn map_by(
        self,
        expected: &str,
        read_key: impl Fn(&'a Value<'a>) -> Result<&'a str, Report>,
    ) -> Option<Map<'a>> {
        let Value::Map(nodes) = &self.node.value else {
            let report = Report::wrong_type_redacted(expected, &self.node.value);
            let hint = match &self.node.value {
                Value::String(text) if text.starts_with('{') => Some("remove the quotes around the map"),
                Value::String(text) => slips::missing_space(text),
                Value::List(items) if items.iter().any(|item| has_colon(&item.value)) => {
                    Some("write a map instead of a list, without brackets and quotes")
                }
                Value::List(_) => Some("write a map instead of a list: remove each `- `"),
                _ => None,
            };
            self.report(if let Some(hint) = hint { report.hint(hint) } else { report });
            return None;
        };
        let mut first = BTreeMap::new();
        let mut entries = Vec::with_capacity(nodes.len());
        for (key, value) in nodes {
            let (key, value) = (Self { node: key, ..self }, Self { node: value, ..self });
            let in_list = |report| hint_at_list(report, key.value(), value.value(), entries.last());
            let Some(name) = key.read(|key| read_key(key).map_err(in_list)) else { continue };
            // As a `String`, because there are maps of them elsewhere, and a map of another type
            // would add several kilobytes to a Worker.
            match *first.entry(name.to_owned()).or_insert(key.node.id) {
                new if new == key.node.id => entries.push(Entry { name, key, value }),
                other => {
                    let report = Report::new(Code::DuplicateKey, format!("duplicate key {}", backticked(name)));
                    key.report(report.related(other, "first defined here").hint("remove one of them"));
                }
            }
        }
        Some(Map { field: self, entries, known: Vec::new(), missing: Vec::new() })
    }
}

/// A map. Entries are removed as they are read; the rest is unknown at the end.
pub(crate) struct Map<'a> {
    field: Field<'a>,
    entries: Vec<Entry<'a>>,
    /// The keys that were requested.
    known: Vec<&'static str>,
    /// The required keys that are absent, with their hints.
    missing: Vec<(&'static str, String)>,
}

/// An entry of a map.
pub(crate) struct Entry<'a> {
    pub(crate) name: &'a str,
    pub(crate) key: Field<'a>,
    pub(crate) value: Field<'a>,
}

impl<'a> Map<'a> {
    /// Removes and returns the value of `name`.
    pub(crate) fn optional(&mut self, name: &'static str) -> Option<Field<'a>> {
        self.known.push(name);
        let at = self.entries.iter().position(|entry| entry.name == name)?;
        Some(self.entries.remove(at).value)
    }

    /// Removes and returns the value of `name`. Its absence is an error with this hint, which is
    /// reported when the remaining entries are read.
    pub(crate) fn required(&mut self, name: &'static str, hint: &str) -> Option<Field<'a>> {
        let value = self.optional(name);
        if value.is_none() {
            self.missing.push((name, hint.to_owned()));
        }
        value
    }

    /// Makes `name` required, without a removal of its value.
    pub(crate) fn check_required(&mut self, name: &'static str, hint: &str) {
        if self.present(&[name]).first().is_none() {
            self.missing.push((name, hint.to_owned()));
        }
    }

    /// Reads the remaining entries by a table of settings and reports unknown ones. Returns whether
    /// there was no error.
    pub(crate) fn read_into<T>(self, target: &mut T, keys: &[Setting<T>]) -> bool {
        let names: Vec<&'static str> = keys.iter().map(Setting::name).collect();
        self.read_known(&names, &mut |index, value| {
            if let Some(key) = keys.get(index) {
                (key.read)(target, value);
            }
        })
    }

    /// Reads the remaining entries: calls `read` with the index of each name. It does not depend on
    /// the type of the target, so it is compiled once.
    fn read_known(mut self, names: &[&'static str], read: &mut dyn FnMut(usize, Field<'a>)) -> bool {
        let Field { reports, environment, .. } = self.field;
        let before = reports.count();
        self.known.extend(names);
        let mut unknown = Vec::new();
        for Entry { name, key, value } in self.entries {
            match names.iter().position(|known| *known == name) {
                Some(index) => read(index, value),
                None if name == "<<" => key.report(
                    Report::new(Code::UnknownKey, "merge keys are not supported")
                        .hint("move common settings to the top-level map `defaults`"),
                ),
                None => unknown.push((name, key)),
            }
        }
        for (name, key) in unknown {
            let UnknownKey { report, meant } = unknown_key(name, &self.known, &self.missing, environment.key_owners);
            key.report(report);
            self.missing.retain(|(missing, _)| Some(*missing) != meant);
        }
        for (name, hint) in self.missing {
            self.field.report(Report::new(Code::MissingKey, format!("missing key `{name}`")).hint(hint));
        }
        reports.count() == before
    }

    /// Reports the remaining entries as unknown.
    pub(crate) fn deny_unknown(self) {
        self.read_into(&mut (), &[]);
    }

    /// Returns the values of those of the keys that are present.
    pub(crate) fn present(&self, names: &[&str]) -> Present<'a> {
        let named = |name: &&str| self.entries.iter().find(|entry| entry.name == *name);
        Present(names.iter().filter_map(named).map(|entry| entry.value).collect())
    }

    pub(crate) fn into_entries(self) -> Vec<Entry<'a>> {
        self.entries
    }
}

/// The present ones of several settings that may contradict each other.
pub(crate) struct Present<'a>(Vec<Field<'a>>);

impl<'a> Present<'a> {
    pub(crate) fn first(&self) -> Option<Field<'a>> {
        self.0.first().copied()
    }

    /// Returns the first one, as the place of a conflict. `None` if one of them is invalid: once
    /// corrected, they may agree.
    pub(crate) fn culprit(&self) -> Option<Field<'a>> {
        self.first().filter(|_| self.0.iter().all(|field| field.is_valid()))
    }

    /// Reports a conflict at the first one, unless one of them is invalid.
    pub(crate) fn report(&self, conflict: Report) {
        if let Some(field) = self.culprit() {
            field.report(conflict);
        }
    }
}

/// Adds the hint for the key `204` of `{ expect_status: 200, 204 }`, which stands without a value.
fn hint_at_list(report: Report, key: &Value<'_>, value: &Value<'_>, last: Option<&Entry<'_>>) -> Report {
    match (key, value, last.map(|last| (last.name, last.value.value()))) {
        (Value::Integer(number), Value::Null, Some((name, Value::Integer(first)))) => {
            report.hint(format!("write the list of `{name}` in brackets, such as `[{first}, {number}]`"))
        }
        _ => report,
    }
}

fn has_colon(value: &Value<'_>) -> bool {
    matches!(value, Value::String(text) if text.contains(':'))
}

fn key_string<'a>(key: &'a Value<'a>) -> Result<&'a str, Report> {
    quotable_string(key, "a string key").map_err(|report| match key {
        Value::Map(_) => report.hint("`{` starts a map: put the key in double quotes"),
        _ => report,
    })
}
