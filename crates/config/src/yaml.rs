//! Parses a file into a tree of [`Node`]s, and finds the position of a node.
//!
//! This is the only file that names `serde_yaml`, so that the library can be replaced.
//!
//! `serde_yaml` exposes one kind of position: an error that a visitor returns has the position of
//! the node that it visits. So the tree is built without positions, with nodes numbered in order of
//! their visits. To find positions, the text is read again, and the visitor returns an error at
//! each wanted number. The library can continue after a scalar, so one reading finds any number of
//! them. It cannot continue after a list or a map, so each of these needs its own reading. A valid
//! file is read once.

use std::cell::{Cell, RefCell};
use std::fmt;

use serde::de::{self, DeserializeSeed, EnumAccess, IgnoredAny, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_yaml::Deserializer;

use crate::lines::{Position, START};
use crate::node::{Node, NodeId, Value};
use crate::syntax::{self, SyntaxError};

/// The limit of values, because aliases can make a short text arbitrarily large.
const MAX_NODES: NodeId = 100_000;

/// Parses the only document of `text`.
pub(crate) fn read(text: &str) -> Result<Node<'_>, SyntaxError> {
    syntax::check(text)?;
    let walk = Walk::default();
    let mut documents = Deserializer::from_str(text);
    let root = match documents.next() {
        Some(document) => Visit(&walk).deserialize(document),
        None => walk.leaf(Value::Null),
    };
    let root = root.map_err(|error| syntax_error(&error, &walk, text))?;
    match documents.next() {
        Some(second) => Err(after_the_end(second, text)),
        None => Ok(root),
    }
}

/// The starts of nodes, in the order of the nodes.
///
/// A sorted list, because they are few: a `BTreeMap` would add several kilobytes to the Worker.
#[derive(Debug, Default)]
pub(crate) struct Positions(Vec<(NodeId, Position)>);

impl Positions {
    /// Returns the start of a node, if it was found.
    pub(crate) fn get(&self, id: NodeId) -> Option<Position> {
        let index = self.find(id).ok()?;
        self.0.get(index).map(|(_, position)| *position)
    }

    /// Returns the index of a node, or where it would be inserted.
    fn find(&self, id: NodeId) -> Result<usize, usize> {
        self.0.binary_search_by_key(&id, |(other, _)| *other)
    }

    fn insert(&mut self, id: NodeId, position: Position) {
        if let Err(index) = self.find(id) {
            self.0.insert(index, (id, position));
        }
    }
}

/// Returns the start of each of the nodes `ids`. A node behind an alias has the position of its
/// anchor.
pub(crate) fn positions(text: &str, ids: impl Iterator<Item = NodeId>) -> Positions {
    let mut walk = Walk::default();
    ids.for_each(|id| walk.want(id));
    let mut found = Positions::default();
    while !walk.wanted.is_empty() {
        let document = Deserializer::from_str(text).next();
        let stopped = document.and_then(|document| Visit(&walk).deserialize(document).err());
        let Walk { visited, mut wanted, found: scalars, .. } = walk;
        scalars.into_inner().into_iter().for_each(|(id, position)| found.insert(id, position));
        // The end of the text, or a list or map.
        let last = stopped.map(|error| (visited.get(), position_of(&error)));
        if let Some((id, position)) = last {
            found.insert(id, position);
        }
        wanted.retain(|id| found.get(*id).is_none() && last.is_some_and(|(last, _)| *id > last));
        walk = Walk { wanted, ..Walk::default() };
    }
    found
}

/// A walk through a document: its progress, its limit, and the wanted positions.
struct Walk {
    visited: Cell<NodeId>,
    limit: NodeId,
    /// Whether the limit was reached.
    stopped: Cell<bool>,
    /// In order, each once.
    wanted: Vec<NodeId>,
    /// The scalar of the last error.
    paused: Cell<Option<NodeId>>,
    found: RefCell<Vec<(NodeId, Position)>>,
}

impl Default for Walk {
    fn default() -> Self {
        Self {
            visited: Cell::default(),
            limit: MAX_NODES,
            stopped: Cell::default(),
            wanted: Vec::new(),
            paused: Cell::default(),
            found: RefCell::default(),
        }
    }
}

impl Walk {
    fn want(&mut self, id: NodeId) {
        if let Err(index) = self.wanted.binary_search(&id) {
            self.wanted.insert(index, id);
        }
    }

    fn is_wanted(&self, id: NodeId) -> bool {
        self.wanted.binary_search(&id).is_ok()
    }

    /// Numbers the visited node. The library adds the position of the node to an error.
    fn enter<E: de::Error>(&self) -> Result<NodeId, E> {
        let id = self.visited.get();
        if self.is_wanted(id) || id >= self.limit {
            self.stopped.set(id >= self.limit);
            return Err(E::custom("stopped"));
        }
        self.visited.set(id + 1);
        Ok(id)
    }

    fn leaf<'a, E: de::Error>(&self, value: Value<'a>) -> Result<Node<'a>, E> {
        let id = self.visited.get();
        if self.is_wanted(id) {
            self.visited.set(id + 1);
            self.paused.set(Some(id));
            return Err(E::custom("stopped"));
        }
        Ok(Node { id: self.enter()?, value })
    }
}

/// Builds a node.
#[derive(Clone, Copy)]
struct Visit<'w>(&'w Walk);

impl<'de> DeserializeSeed<'de> for Visit<'_> {
    type Value = Node<'de>;

    fn deserialize<D: de::Deserializer<'de>>(self, deserializer: D) -> Result<Node<'de>, D::Error> {
        let result = deserializer.deserialize_any(self);
        match (self.0.paused.take(), result) {
            (Some(id), Err(error)) => {
                self.0.found.borrow_mut().push((id, position_in(&error.to_string())));
                Ok(Node { id, value: Value::Null })
            }
            (_, result) => result,
        }
    }
}

impl<'de> Visitor<'de> for Visit<'_> {
    type Value = Node<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Node<'de>, E> {
        self.0.leaf(Value::Null)
    }

    fn visit_none<E: de::Error>(self) -> Result<Node<'de>, E> {
        self.0.leaf(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Node<'de>, E> {
        self.0.leaf(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Node<'de>, E> {
        self.0.leaf(Value::Integer(value))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Node<'de>, E> {
        self.0.leaf(Value::OtherNumber(value.to_string()))
    }

    fn visit_u128<E: de::Error>(self, value: u128) -> Result<Node<'de>, E> {
        self.0.leaf(Value::OtherNumber(value.to_string()))
    }

    fn visit_i128<E: de::Error>(self, value: i128) -> Result<Node<'de>, E> {
        self.0.leaf(Value::OtherNumber(value.to_string()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Node<'de>, E> {
        self.0.leaf(Value::OtherNumber(value.to_string()))
    }

    fn visit_borrowed_str<E: de::Error>(self, text: &'de str) -> Result<Node<'de>, E> {
        self.0.leaf(Value::String(text.into()))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Node<'de>, E> {
        self.0.leaf(Value::String(text.to_owned().into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node<'de>, A::Error> {
        let id = self.0.enter()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            list.push(item);
        }
        Ok(Node { id, value: Value::List(list) })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node<'de>, A::Error> {
        let id = self.0.enter()?;
        let mut map = Vec::new();
        while let Some(entry) = entries.next_entry_seed(self, self)? {
            map.push(entry);
        }
        Ok(Node { id, value: Value::Map(map) })
    }

    fn visit_enum<A: EnumAccess<'de>>(self, tagged: A) -> Result<Node<'de>, A::Error> {
        let id = self.0.enter()?;
        let (tag, content) = tagged.variant::<String>()?;
        content.newtype_variant::<IgnoredAny>()?;
        Ok(Node { id, value: Value::Tagged(tag) })
    }
}

fn position_of(error: &serde_yaml::Error) -> Position {
    error.location().map_or(START, |at| Position { line: at.line(), column: at.column() })
}

/// Parses the position at the end of an error message. It is absent for the first character.
fn position_in(message: &str) -> Position {
    let numbers = message.rsplit_once(" at line ").and_then(|(_, place)| place.split_once(" column "));
    let position =
        numbers.and_then(|(line, column)| Some(Position { line: line.parse().ok()?, column: column.parse().ok()? }));
    position.unwrap_or(START)
}

/// Returns the error for content after the first document: a second document, or a syntax error.
fn after_the_end(second: Deserializer<'_>, text: &str) -> SyntaxError {
    let walk = Walk { limit: 0, ..Walk::default() };
    match Visit(&walk).deserialize(second) {
        Err(error) if !walk.stopped.get() => syntax_error(&error, &walk, text),
        result => {
            let position = result.err().map_or(START, |error| position_of(&error));
            SyntaxError::new(position, syntax::SECOND_DOCUMENT, text)
        }
    }
}

fn syntax_error(error: &serde_yaml::Error, walk: &Walk, text: &str) -> SyntaxError {
    let position = position_of(error);
    if walk.stopped.get() {
        let message = format!("more than {MAX_NODES} values, including those of aliases");
        return SyntaxError::new(position, message, text);
    }
    let place = format!(" at line {} column {}", position.line, position.column);
    SyntaxError::new(position, error.to_string().replacen(&place, "", 1), text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns each node of `text` on a line: position and value.
    fn outline(text: &str) -> String {
        fn walk(text: &str, node: &Node<'_>, out: &mut String) {
            let Position { line, column } = positions(text, [node.id].into_iter()).get(node.id).unwrap();
            *out += &format!("{line}:{column} {}\n", node.value);
            match &node.value {
                Value::List(items) => items.iter().for_each(|item| walk(text, item, out)),
                Value::Map(entries) => entries.iter().for_each(|(key, value)| {
                    walk(text, key, out);
                    walk(text, value, out);
                }),
                _ => {}
            }
        }
        let mut out = String::new();
        walk(text, &read(text).unwrap(), &mut out);
        out
    }

    #[test]
    fn every_node_is_found_where_it_begins() {
        let text = r#"# a comment
block:
  - plain
  - 'single'   # a comment
  - "do\u0075ble"
  -   12
  - - nested
    - true
  - key: value
    other: |
      lines
'quoted key': {flow: [a, 'b', {c: 1.5}], "d": ~}
? complex
: value
wrapped: plain text
  on two lines
anchor: &name
  inside: x
alias: *name
tag: !mine y
ünï: cödé
indentless:
- a
empty:
"#;
        let expected = r#"2:1 a map
2:1 the string "block"
3:3 a list
3:5 the string "plain"
4:5 the string "single"
5:5 the string "double"
6:7 the number 12
7:5 a list
7:7 the string "nested"
8:7 `true`
9:5 a map
9:5 the string "key"
9:10 the string "value"
10:5 the string "other"
10:12 the string "lines\n"
12:1 the string "quoted key"
12:15 a map
12:16 the string "flow"
12:22 a list
12:23 the string "a"
12:26 the string "b"
12:31 a map
12:32 the string "c"
12:35 the number 1.5
12:42 the string "d"
12:47 null
13:3 the string "complex"
14:3 the string "value"
15:1 the string "wrapped"
15:10 the string "plain text on two lines"
17:1 the string "anchor"
17:9 a map
18:3 the string "inside"
18:11 the string "x"
19:1 the string "alias"
17:9 a map
18:3 the string "inside"
18:11 the string "x"
20:1 the string "tag"
20:6 a value with the tag `!mine`
21:1 the string "ünï"
21:6 the string "cödé"
22:1 the string "indentless"
23:1 a list
23:3 the string "a"
24:1 the string "empty"
24:7 null
"#;
        assert_eq!(outline(text), expected);
        assert_eq!(outline(&text.replace('\n', "\r\n")), expected, "with the line ends of Windows");
        let count = NodeId::try_from(expected.lines().count()).unwrap();
        let together: Vec<String> = positions(text, 0..count)
            .0
            .iter()
            .map(|(_, Position { line, column })| format!("{line}:{column}"))
            .collect();
        let apart: Vec<&str> = expected.lines().map(|line| line.split(' ').next().unwrap()).collect();
        assert_eq!(together, apart, "found together as they are found one by one");
    }
}
