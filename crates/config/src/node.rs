//! A YAML document as a tree: what the rest of this crate reads, whichever library parsed it.
//!
//! A node carries no position, because positions are wanted only for the few nodes that are wrong.
//! It carries its place in the document's order instead, from which both its position
//! ([`yaml::position`](crate::yaml::position)) and its path ([`locate`]) can be found when a
//! mistake is reported.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use crate::redact::redact_urls;

/// A node's place in the order in which a document is read: a container before its content, a key
/// before its value.
pub(crate) type NodeId = u32;

/// One scalar, list or map, or one key of a map.
#[derive(Debug)]
pub(crate) struct Node<'a> {
    pub(crate) id: NodeId,
    pub(crate) value: Value<'a>,
}

impl Node<'_> {
    /// This node and all that it is made of.
    pub(crate) fn ids(&self) -> RangeInclusive<NodeId> {
        let last = match &self.value {
            Value::List(items) => items.last(),
            Value::Map(entries) => entries.last().map(|(_, value)| value),
            _ => None,
        };
        self.id..=last.map_or(self.id, |last| *last.ids().end())
    }
}

#[derive(Debug)]
pub(crate) enum Value<'a> {
    /// Nothing, `null` or `~`.
    Null,
    Bool(bool),
    /// A number that counts things. Every other number is kept as text: no setting takes one.
    Integer(u64),
    OtherNumber(String),
    Text(Cow<'a, str>),
    List(Vec<Node<'a>>),
    /// Every entry as written, repeated keys included.
    Map(Vec<(Node<'a>, Node<'a>)>),
    /// A value behind a tag of its own, such as `!include file`.
    Tagged(String),
}

/// What a reader is told that was found, after "found".
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("nothing"),
            Self::Bool(value) => write!(f, "`{value}`"),
            Self::Integer(value) => write!(f, "the number {value}"),
            Self::OtherNumber(value) => write!(f, "the number {value}"),
            Self::Text(text) => write!(f, "the text {}", quoted(text)),
            Self::List(_) => f.write_str("a list"),
            Self::Map(_) => f.write_str("a map"),
            Self::Tagged(tag) => write!(f, "a value with the tag {}", ticked(&format!("!{tag}"))),
        }
    }
}

impl Value<'_> {
    /// The same without any of its content, for where that may be a secret.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(true) => "`true`",
            Self::Bool(false) => "`false`",
            Self::Integer(_) | Self::OtherNumber(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Map(_) => "a map",
            Self::Tagged(_) => "a value with a tag",
        }
    }
}

/// The node `id`, and the way to it from `root`, as in `services."git.example.com".servers[1].url`;
/// a key's is that of its map.
pub(crate) fn locate<'n, 'a>(root: &'n Node<'a>, id: NodeId) -> (String, &'n Node<'a>) {
    let mut path = String::new();
    let mut node = root;
    while node.id != id {
        // Ids grow in document order: the last child that does not come after `id` holds it.
        match &node.value {
            Value::List(items) => {
                let after = items.partition_point(|item| item.id <= id);
                let Some((index, item)) = after.checked_sub(1).and_then(|at| Some((at, items.get(at)?))) else { break };
                path.push_str(&format!("[{index}]"));
                node = item;
            }
            Value::Map(entries) => {
                let after = entries.partition_point(|(_, value)| value.id <= id);
                // Between an entry's key and its value lies only what the key itself is made of.
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
        Value::Text(key) if !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b)) => {
            path.push_str(&shortened(key));
        }
        Value::Text(key) => path.push_str(&quoted(key)),
        _ => path.push('?'),
    }
}

/// Text of the file inside a message: one line, not too long, in double quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("{:?}", shortened(text))
}

/// The same in backticks, for names and values that a reader may copy.
pub(crate) fn ticked(text: &str) -> String {
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
