//! The description and the allowed values of a setting, for the schema and the reference.
//!
//! The tables of settings hold it beside the function that reads the setting. So the schema and the
//! reference have the reader's own ranges. Without the feature `schema`,
//! [`Setting::new`](crate::reader::Setting::new) drops it at compile time, and none of these
//! strings becomes part of the Worker.

#![cfg_attr(not(feature = "schema"), expect(dead_code, reason = "only the schema and the reference read it"))]

use std::ops::RangeInclusive;
use std::time::Duration;

use tunnel_balancer_core::limits;

use crate::duration::format_duration;
use crate::size::format_size;

/// The documentation of a setting.
#[derive(Clone, Debug)]
pub(crate) struct SettingDoc {
    pub(crate) name: &'static str,
    /// The default as YAML in one line. Empty for a map of settings, and for a value that each
    /// server has for itself. A test compares it with the core.
    pub(crate) default: &'static str,
    /// The description, in Markdown. Default and range are not part of it.
    pub(crate) text: &'static str,
    pub(crate) schema: ValueSchema,
    /// Whether a map without it is invalid.
    pub(crate) required: bool,
}

impl SettingDoc {
    /// Creates a key without a default, which is required.
    pub(crate) const fn required(name: &'static str, text: &'static str, schema: ValueSchema) -> Self {
        Self { name, default: "", text, schema, required: true }
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

impl ValueSchema {
    /// Returns the keys of a value that may be a map, or a list of maps.
    pub(crate) fn keys(&self) -> Vec<SettingDoc> {
        match self {
            Self::Map(keys) => keys(),
            Self::MapOf { values: inner, .. } | Self::List(inner, _) | Self::Shared(_, inner) => inner.keys(),
            Self::OneOf(schemas) => {
                // The short form of a service is the list of its key `servers`.
                let maps: Vec<SettingDoc> =
                    schemas.iter().filter(|it| matches!(it, Self::Map(_))).flat_map(Self::keys).collect();
                if maps.is_empty() {
                    // The map of a target is an item of a list, too.
                    schemas.iter().map(Self::keys).find(|keys| !keys.is_empty()).unwrap_or_default()
                } else {
                    maps
                }
            }
            _ => Vec::new(),
        }
    }

    /// Returns the limits of a number, a duration, a size, a status, a string or the length of a
    /// list, such as `1 to 10`.
    pub(crate) fn range(&self) -> Option<String> {
        Some(match self {
            Self::Number(range) | Self::Percent(range) => format!("{} to {}", range.start(), range.end()),
            Self::Duration(range) => {
                let [least, most] = [range.start(), range.end()].map(|limit| format_duration(*limit));
                format!("{least} to {most}")
            }
            Self::Size(range) => format!("{} to {}", format_size(*range.start()), format_size(*range.end())),
            Self::Statuses { least, .. } => format!("{least} to {}", limits::STATUS.end()),
            Self::String(StringSchema { longest: Some(longest), .. }) => format!("up to {longest} bytes"),
            Self::List(_, most) => format!("1 to {most}"),
            Self::OneOf(schemas) => return schemas.iter().find_map(Self::range),
            Self::Shared(_, schema) => return schema.range(),
            _ => return None,
        })
    }
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
