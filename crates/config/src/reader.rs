//! Readers of values, which report an invalid value and continue.
//!
//! A setting is an entry of a table ([`Setting`]): its name, its description, and the function that
//! reads it. The table also gives the expected keys of a message, the schema and the reference.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use crate::diagnostic::Code;
use crate::environment::Environment;
use crate::node::{Node, Value, backticked};
use crate::placement::{UnknownKey, unknown_key};
use crate::platform::Platform;
use crate::present::Present;
use crate::report::{Report, Reports};
use crate::secrets::Secrets;
use crate::value_schema::{SettingDoc, ValueSchema};
use crate::{renamed, slips, suggest};

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
        let Value::Map(entries) = &self.node.value else { return None };
        let is_named = |key: &Node<'_>| matches!(&key.value, Value::String(key) if key == name);
        entries.iter().find(|(key, _)| is_named(key)).map(|(_, node)| Self { node, ..self })
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
        let reports = self.field.reports;
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
            let UnknownKey { report, meant } = unknown_key(name, &self.known, &self.missing);
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
        Value::Integer(_) => report.hint("put it in double quotes"),
        _ => report,
    })
}

/// Reads a string. `expected` completes "expected ..., found a list".
pub(crate) fn string<'a>(value: &'a Value<'a>, expected: &str) -> Result<&'a str, Report> {
    match value {
        Value::String(string) => Ok(string),
        _ => Err(Report::wrong_type(expected, value)),
    }
}

/// Reads a string for which YAML may need quotes, such as a name that is a number.
pub(crate) fn quotable_string<'a>(value: &'a Value<'a>, expected: &str) -> Result<&'a str, Report> {
    string(value, expected).map_err(|report| match value {
        Value::Bool(_) | Value::Integer(_) | Value::OtherNumber(_) => report.hint("put it in double quotes"),
        _ => report,
    })
}

/// Reads one of the words of a table. `expected` lists all allowed values.
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
    let similar = || suggest::nearest(found, &known).map(|similar| format!("did you mean `{similar}`?"));
    let hint = renamed::hint(found, &known).or_else(similar).unwrap_or_else(|| format!("expected {expected}"));
    Err(Report::new(Code::InvalidValue, format!("unknown {what} {}", backticked(found))).hint(hint))
}

/// Reads `false` as `None`, and other values with `read`.
pub(crate) fn or_off<'a, T>(
    value: &'a Value<'a>,
    read: impl FnOnce(&'a Value<'a>) -> Result<T, Report>,
) -> Result<Option<T>, Report> {
    match value {
        Value::Bool(false) => Ok(None),
        _ => read(value).map(Some).map_err(|report| report.default_hint("`false` disables it")),
    }
}

/// Reads `true` or `false`.
pub(crate) fn boolean(value: &Value<'_>) -> Result<bool, Report> {
    let report = || Report::wrong_type("`true` or `false`", value);
    match value {
        Value::Bool(value) => Ok(*value),
        Value::String(word) => Err(match word.to_ascii_lowercase().as_str() {
            "yes" | "on" | "true" => report().hint("write `true`, without quotes"),
            "no" | "off" | "false" => report().hint("write `false`, without quotes"),
            _ => report(),
        }),
        _ => Err(report()),
    }
}

/// Reads a whole number within `range`.
pub(crate) fn number(value: &Value<'_>, range: RangeInclusive<u32>) -> Result<u32, Report> {
    let expected = format!("a whole number from {} to {}", range.start(), range.end());
    match value {
        Value::Integer(found) => u32::try_from(*found)
            .ok()
            .filter(|number| range.contains(number))
            .ok_or_else(|| Report::new(Code::OutOfRange, format!("expected {expected}, found {found}"))),
        Value::String(number) if number.starts_with('0') && number.len() > 1 && number.parse::<u32>().is_ok() => {
            Err(Report::wrong_type(&expected, value).hint("write the number without leading zeros and quotes"))
        }
        Value::String(number) if number.parse::<u32>().is_ok() => {
            Err(Report::wrong_type(&expected, value).hint("write the number without quotes"))
        }
        _ => Err(Report::wrong_type(&expected, value)),
    }
}

/// Reads a percentage: a number without `%`.
pub(crate) fn percent(value: &Value<'_>, range: RangeInclusive<u32>) -> Result<u32, Report> {
    number(value, range).map_err(|report| match value {
        Value::String(number) if number.ends_with('%') => report.hint("write the number alone, without `%`"),
        _ => report,
    })
}
