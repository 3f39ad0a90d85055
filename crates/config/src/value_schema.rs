//! The description and the allowed values of a setting, for the schema and the reference.
//!
//! The tables of settings hold it beside the function that reads the setting. So the schema and the
//! reference have the reader's own ranges. Without the feature `schema`,
//! [`Setting::new`](crate::reader::Setting::new) drops it at compile time, and none of these
//! strings becomes part of the Worker.

#![cfg_attr(not(feature = "schema"), expect(dead_code, reason = "only the schema and the reference read it"))]

use std::ops::RangeInclusive;
use std::time::Duration;

/// The documentation of a setting.
#[derive(Clone, Debug)]
pub(crate) struct SettingDoc {
    pub(crate) name: &'static str,
    /// The description, in Markdown. Default and range are not part of it.
    pub(crate) text: &'static str,
    pub(crate) schema: ValueSchema,
    /// Whether a map without it is invalid.
    pub(crate) required: bool,
}

impl SettingDoc {
    pub(crate) const fn new(name: &'static str, text: &'static str, schema: ValueSchema) -> Self {
        Self { name, text, schema, required: false }
    }

    pub(crate) const fn required(name: &'static str, text: &'static str, schema: ValueSchema) -> Self {
        Self { name, text, schema, required: true }
    }
}

/// The values that a setting accepts. Constraints between two settings are not part of it.
#[derive(Clone, Debug)]
pub(crate) enum ValueSchema {
    /// `false`: the feature is disabled.
    Disabled,
    Boolean,
    /// A whole number.
    Number(RangeInclusive<u32>),
    Percent(RangeInclusive<u32>),
    Duration(RangeInclusive<Duration>),
    Size(RangeInclusive<u64>),
    /// One status, a range, or a list of them.
    Statuses {
        least: u16,
        may_be_empty: bool,
    },
    String(StringSchema),
    /// One of a list of words.
    Enum(fn() -> Vec<&'static str>),
    OneOf(&'static [Self]),
    /// A list of at least one item, with its largest length.
    List(&'static Self, usize),
    /// A map with these settings.
    Map(fn() -> Vec<SettingDoc>),
    /// A map with keys of the operator's choice.
    MapOf {
        keys: StringSchema,
        values: &'static Self,
        may_be_empty: bool,
    },
    /// A schema that several settings share, with its name.
    Shared(&'static str, &'static Self),
}

/// The strings that a setting accepts.
#[derive(Clone, Debug)]
pub(crate) struct StringSchema {
    /// A noun with its article: "a path".
    pub(crate) what: &'static str,
    /// A pattern in the common dialect of JavaScript and Rust. It matches every string that the
    /// reader accepts, and may match others.
    pub(crate) pattern: &'static str,
    /// The largest length in bytes.
    pub(crate) longest: Option<usize>,
}

/// Returns the words of a table of words.
pub(crate) fn words<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(word, _)| *word).collect()
}
