//! cloudflared's configuration as a string in a Kubernetes `ConfigMap`.

use std::borrow::Cow;

use crate::node::{Node, Value};
use crate::yaml;

/// Returns the configuration, with each line at its number in `text`. Without a `ConfigMap`, that
/// is `text`.
pub(super) fn unwrap(text: &str) -> Cow<'_, str> {
    if !text.contains("ConfigMap") {
        return Cow::Borrowed(text);
    }
    let found = documents(text).into_iter().find_map(|(above, document)| Some((above, configuration(&document)?)));
    found.map_or(Cow::Borrowed(text), |(above, configuration)| Cow::Owned("\n".repeat(above) + &configuration))
}

/// Returns the documents of a manifest, each with the number of lines above it.
fn documents(text: &str) -> Vec<(usize, String)> {
    let mut documents = vec![(0, String::new())];
    for (index, line) in text.split_inclusive('\n').enumerate() {
        if line.trim_end() == "---" {
            documents.push((index + 1, String::new()));
        } else if let Some((_, document)) = documents.last_mut() {
            document.push_str(line);
        }
    }
    documents
}

fn configuration(document: &str) -> Option<String> {
    let root = yaml::read(document).ok()?;
    if !matches!(&root.get("kind")?.value, Value::String(kind) if kind == "ConfigMap") {
        return None;
    }
    let Value::Map(data) = &root.get("data")?.value else { return None };
    data.iter().find_map(|(_, value)| match &value.value {
        Value::String(text) if is_configuration(text) => Some(in_place(document, value, text)),
        _ => None,
    })
}

fn is_configuration(text: &str) -> bool {
    let root = yaml::read(text);
    root.is_ok_and(|root| ["ingress", "url", "tunnel"].iter().any(|key| root.get(key).is_some()))
}

/// Returns the lines of a block scalar where they are. The lines of any other scalar follow its
/// first one.
fn in_place(document: &str, node: &Node<'_>, text: &str) -> String {
    let line = yaml::positions(document, std::iter::once(node.id)).get(node.id).map_or(1, |at| at.line);
    let lines: Vec<&str> = document.split_inclusive('\n').collect();
    let (above, below) = lines.split_at_checked(line).unwrap_or((&lines, &[]));
    let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let is_blank = |line: &&&str| line.trim().is_empty();
    let first = below.iter().find(|line| !is_blank(line)).map_or(0, |line| indentation(line));
    let block: String = below.iter().take_while(|line| is_blank(line) || indentation(line) >= first).copied().collect();
    let is_block = above.last().is_some_and(|header| header.trim_end().ends_with(['|', '-', '+']))
        && block.split_whitespace().eq(text.split_whitespace());
    if is_block { "\n".repeat(line) + &block } else { "\n".repeat(line - 1) + text }
}
