//! A YAML document as a tree, independent of the library that parsed it.
//!
//! A node has no position, because only the positions of invalid nodes are needed. It has its index
//! in document order, from which its position ([`yaml::positions`](crate::yaml::positions)) and its
//! path ([`locate`]) are found when it is reported.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use crate::redact::redact_urls;

/// The index of a node in document order: a container before its content, a key before its value.
pub(crate) type NodeId = u32;

/// A scalar, a list or a map, or the key of a map.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) id: NodeId,
    pub(crate) value: Value<'a>,
}

impl Node<'_> {
    /// Returns the ids of this node and of the nodes in it.
    pub(crate) fn ids(&self) -> RangeInclusive<NodeId> {
        let last = match &self.value {
            Value::List(items) => items.last(),
            Value::Map(entries) => entries.last().map(|(_, value)| value),
            _ => None,
        };
        self.id..=last.map_or(self.id, |last| *last.ids().end())
    }

    /// Returns the value of a key, if this is a map that has it.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        let Value::Map(entries) = &self.value else { return None };
        let is_named = |key: &Self| matches!(&key.value, Value::String(key) if key == name);
        entries.iter().find(|(key, _)| is_named(key)).map(|(_, value)| value)
    }

    /// Returns the first scalar in this node, or the node itself if it is a scalar or empty.
    pub(crate) fn first_scalar(&self) -> &Self {
        let first = match &self.value {
            Value::List(items) => items.first(),
            Value::Map(entries) => entries.first().map(|(key, _)| key),
            _ => None,
        };
        first.map_or(self, Self::first_scalar)
    }
}

#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// An empty value, `null` or `~`.
    Null,
    Bool(bool),
    /// A whole number from 0. Other numbers are kept as strings: no setting accepts one.
    Integer(u64),
    OtherNumber(String),
    String(Cow<'a, str>),
    List(Vec<Node<'a>>),
    /// The entries in order, with duplicate keys.
    Map(Vec<(Node<'a>, Node<'a>)>),
    /// A value with a custom tag, such as `!include file`.
    Tagged(String),
}

/// Writes the value as a message names it after "found".
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "`{value}`"),
            Self::Integer(value) => write!(f, "the number {value}"),
            Self::OtherNumber(value) => write!(f, "the number {value}"),
            Self::String(text) => write!(f, "the string {}", quoted(text)),
            Self::List(_) => f.write_str("a list"),
            Self::Map(_) => f.write_str("a map"),
            Self::Tagged(tag) => write!(f, "a value with the tag {}", backticked(&format!("!{tag}"))),
        }
    }
}

impl Value<'_> {
    /// Returns the kind of the value, without its content, which may be a secret.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(true) => "`true`",
            Self::Bool(false) => "`false`",
            Self::Integer(_) | Self::OtherNumber(_) => "a number",
            Self::String(_) => "a string",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Tagged(_) => "a value with a tag",
        }
    }
}

/// Returns the path of the node `id`, such as `services."git.example.com".servers[1].url`, and the
/// node. The path of a key is that of its map.
pub(crate) fn locate<'n, 'a>(root: &'n Node<'a>, id: NodeId) -> (String, &'n Node<'a>) {
    let mut path = String::new();
    let mut node = root;
    while node.id != id {
        // Ids grow in document order: the last child whose id is not larger contains `id`.
        match &node.value {
            Value::List(items) => {
                let after = items.partition_point(|item| item.id <= id);
                let Some((index, item)) = after.checked_sub(1).and_then(|at| Some((at, items.get(at)?))) else { break };
                path.push_str(&format!("[{index}]"));
                node = item;
            }
            Value::Map(entries) => {
                let after = entries.partition_point(|(_, value)| value.id <= id);
                // The ids between a key and its value belong to the key.
                if let Some((key, _)) = entries.get(after).filter(|(key, _)| key.id <= id) {
                    node = key;
                    break;
                }
                let Some((key, value)) = after.checked_sub(1).and_then(|at| entries.get(at)) else { break };
                push_key(&mut path, &key.value);
                node = value;
            }
            _ => break,
        }
    }
    (path, node)
}

fn push_key(path: &mut String, key: &Value<'_>) {
    if !path.is_empty() {
        path.push('.');
    }
    match key {
        Value::String(key)
            if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) =>
        {
            path.push_str(&shortened(key));
        }
        Value::String(key) => path.push_str(&quoted(key)),
        _ => path.push('?'),
    }
}

/// Formats a string of the file for a message: one line, shortened, in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// Formats a name or value that can be copied, in backticks.
pub(crate) fn backticked(text: &str) -> String {
    format!("`{}`", shortened(text).escape_debug())
}

fn shortened(text: &str) -> String {
    /// Longer than any key and most hostnames, short enough for a line of a log.
    const MAX_CHARS: usize = 80;
    let text = redact_urls(text);
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}
