//! What a key is for, and what may stand there: for people and editors, beside how it is read.
//!
//! The tables of keys hold both, so that the schema and the reference are made from what the parser
//! goes by, ranges included. A program that serves needs none of it: without the feature `schema`,
//! [`Key::new`](crate::reader::Key::new) drops it at compile time, and no text of these tables gets
//! into the Worker.

#![cfg_attr(not(feature = "schema"), expect(dead_code, reason = "only the schema and the reference look into it"))]

use std::ops::RangeInclusive;
use std::time::Duration;

/// What is known of a key beside how it is read.
#[derive(Clone, Debug)]
pub(crate) struct About {
    pub(crate) name: &'static str,
    /// What it is for, in Markdown. Neither its default nor its range: those are known.
    pub(crate) text: &'static str,
    pub(crate) shape: Shape,
    /// Whether its map is nothing without it.
    pub(crate) required: bool,
}

impl About {
    pub(crate) const fn new(name: &'static str, text: &'static str, shape: Shape) -> Self {
        Self { name, text, shape, required: false }
    }

    pub(crate) const fn required(name: &'static str, text: &'static str, shape: Shape) -> Self {
        Self { name, text, shape, required: true }
    }
}

/// What may stand in a place. What follows from two places together, such as a limit below another,
/// is not told here.
#[derive(Clone, Debug)]
pub(crate) enum Shape {
    /// `false` alone: none of it.
    Off,
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
    Text(Text),
    /// One of a few words.
    Words(fn() -> Vec<&'static str>),
    OneOf(&'static [Self]),
    /// Of one such thing at least.
    List(&'static Self, usize),
    /// A map with these keys.
    Map(fn() -> Vec<About>),
    /// A map with keys that the operator chooses.
    Names {
        keys: Text,
        values: &'static Self,
        may_be_empty: bool,
    },
    /// What stands in more places than one, under the name by which they share it.
    Shared(&'static str, &'static Self),
}

/// A text, as far as that can be said without reading it.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    /// With its article, as in "a path".
    pub(crate) what: &'static str,
    /// In the dialect that JavaScript and Rust have in common. It lets pass what the reader
    /// accepts, and may let pass more.
    pub(crate) pattern: &'static str,
    /// In bytes.
    pub(crate) longest: Option<usize>,
}

/// The words of a table of words.
pub(crate) fn words<T>(table: &[(&'static str, T)]) -> Vec<&'static str> {
    table.iter().map(|(word, _)| *word).collect()
}
