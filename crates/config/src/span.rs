//! The end of a node on its first line, for underlining.
//!
//! The YAML library has the start of a node only. The end of keys, words, numbers, quoted strings
//! and maps on one line is found in the line. Of a larger node, the first part is underlined.

use crate::node::Value;

/// Returns the column after the node with this value that starts at `column` of `line`. Columns
/// are counted in characters from 1.
pub(crate) fn end(line: &str, column: usize, value: &Value<'_>) -> usize {
    let start = line.char_indices().nth(column.saturating_sub(1)).map_or(line.len(), |(index, _)| index);
    let rest = line.get(start..).unwrap_or_default();
    let length = match value {
        Value::String(text) if !text.is_empty() && rest.starts_with(text.as_ref()) => text.chars().count(),
        _ => first_part(rest),
    };
    column + length.max(1)
}

/// Returns the length of the node at the start of `rest`, in characters.
fn first_part(rest: &str) -> usize {
    let whole = rest.trim_end().chars().count();
    let mut chars = rest.chars().enumerate().peekable();
    let mut quote = None;
    let mut depth = 0_usize;
    let opens = rest.starts_with(['[', '{']);
    let quoted = rest.starts_with(['"', '\'']);
    while let Some((index, c)) = chars.next() {
        let next = chars.peek().map(|(_, next)| *next);
        match (quote, c) {
            (Some('"'), '\\') => drop(chars.next()),
            // Two quotes are an escaped one.
            (Some('\''), '\'') if next == Some('\'') => drop(chars.next()),
            (Some(open), _) if open == c => {
                quote = None;
                if quoted {
                    return index + 1;
                }
            }
            (Some(_), _) => {}
            (None, '"' | '\'') if opens || index == 0 => quote = Some(c),
            (None, '[' | '{') if opens => depth += 1,
            (None, ']' | '}') if opens => {
                depth -= 1;
                if depth == 0 {
                    return index + 1;
                }
            }
            (None, ',' | ']' | '}' | ' ' | '\t') if !opens => return index,
            (None, ':') if !opens && next.is_none_or(char::is_whitespace) => return index,
            (None, _) => {}
        }
    }
    whole
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lines::{Lines, Position};
    use crate::node::Node;
    use crate::yaml;

    #[test]
    fn spans_end_with_the_node_or_the_line() {
        let text = r#"plain: two words # a comment
"quoted key" : 'it''s' # a comment
list: [a, "b]", {c: 1.5}] # a comment
nothing: ""
open: [a,
  b]
number: [12, -5, true, ~]
block:
  - "do\"uble"
  - key: g1.example.net, g2.example.net
  - https://a.example.com:8443/x
wrapped: plain text
  on two lines
page: |
  <p>
ünï: cödé
empty:
"#;
        let expected = r#"plain
plain
two words
"quoted key"
'it''s'
list
[a, "b]", {c: 1.5}]
a
"b]"
{c: 1.5}
c
1.5
nothing
""
open
[a,
a
b
number
[12, -5, true, ~]
12
-5
true
~
block
-
"do\"uble"
key
key
g1.example.net, g2.example.net
https://a.example.com:8443/x
wrapped
plain
page
|
ünï
cödé
empty

"#;
        fn walk(text: &str, node: &Node<'_>, out: &mut String) {
            let Position { line, column } = yaml::positions(text, [node.id].into_iter()).get(node.id).unwrap();
            let source = Lines::new(text).line(line);
            let end = end(source, column, &node.value);
            out.extend(source.chars().skip(column - 1).take(end - column));
            out.push('\n');
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
        walk(text, &yaml::read(text).unwrap(), &mut out);
        assert_eq!(out, expected);
    }
}
