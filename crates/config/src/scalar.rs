//! Formatting of YAML scalars, for programs that write files with comments, which no serializer
//! does.

/// Formats a string as a YAML value or key: plain if every parser reads it back as this string,
/// otherwise in double quotes.
///
/// ```
/// use tunnel_balancer_config::yaml_scalar;
///
/// assert_eq!(yaml_scalar("https://chat-a.example.com"), "https://chat-a.example.com");
/// assert_eq!(yaml_scalar("no"), r#""no""#);
/// assert_eq!(yaml_scalar("a: \"b\""), r#""a: \"b\"""#);
/// ```
pub fn yaml_scalar(text: &str) -> String {
    if is_plain(text) { text.to_owned() } else { quoted(text) }
}

/// Returns whether a string needs no quotes in YAML 1.1 and 1.2, also inside `[ ]` and `{ }`.
fn is_plain(text: &str) -> bool {
    /// Words that some parsers read as other types.
    const WORDS: [&str; 9] = ["null", "true", "false", "yes", "no", "on", "off", "y", "n"];
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
    let is_harmless = |b: u8| b.is_ascii_alphanumeric() || b"./_-?=%:".contains(&b);
    // `a: b` is a map, and so is `a:`.
    let no_map = text.split(':').skip(1).all(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '/'));
    starts_well && text.bytes().all(is_harmless) && no_map && !WORDS.contains(&text.to_ascii_lowercase().as_str())
}

fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            // YAML forbids control characters. Others that break or reorder lines must be visible.
            c if c.is_control()
                || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                || matches!(c, '\u{feff}' | '\u{fffe}' | '\u{ffff}') =>
            {
                quoted.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::node::{Node, Value};
    use crate::yaml;

    /// Generates strings of YAML syntax, and arbitrary ones.
    fn text() -> impl Strategy<Value = String> {
        let pieces = prop::sample::select(vec![
            "a",
            "-",
            "- ",
            ":",
            ": ",
            " ",
            "#",
            " #",
            "\n",
            "\t",
            "\r",
            "\"",
            "'",
            "\\",
            "[",
            "]",
            "{",
            "}",
            ",",
            "&a",
            "*a",
            "!",
            "|",
            ">",
            "%",
            "@",
            "`",
            "?",
            "? ",
            "=",
            "~",
            "null",
            "no",
            "1",
            "0x1",
            ".",
            "e",
            "---",
            "...",
            "<<",
            "/",
            "ü",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "\u{0}",
            "\u{7f}",
            "\u{9f}",
            "\u{fffe}",
            "\u{1f600}",
            "https://",
            "${NAME}",
        ]);
        prop_oneof![prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat()), any::<String>()]
    }

    fn is(node: &Node<'_>, text: &str) -> bool {
        matches!(&node.value, Value::String(read) if read == text)
    }

    /// Returns the only entry of a map.
    fn entry<'y>(yaml: &'y str) -> (Node<'y>, Node<'y>) {
        match yaml::read(yaml) {
            Ok(Node { value: Value::Map(mut entries), .. }) if entries.len() == 1 => entries.remove(0),
            other => panic!("{yaml}: {other:?}"),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn formatted_scalars_are_read_back_in_every_context(text in text()) {
            let it = yaml_scalar(&text);
            for yaml in [format!("key: {it}"), format!("key: {it} # comment"), format!("{{ key: {it} }}")] {
                prop_assert!(is(&entry(&yaml).1, &text), "{}", yaml);
            }
            for yaml in [format!("{it}: [{it}, {it}]"), format!("{it}:\n  - {it} # comment\n  - {it}\n")] {
                let (key, value) = entry(&yaml);
                let Value::List(items) = &value.value else { panic!("{yaml}: {value:?}") };
                let are_same = items.len() == 2 && items.iter().all(|item| is(item, &text));
                prop_assert!(is(&key, &text) && are_same, "{}", yaml);
            }
        }
    }

    #[test]
    fn ambiguous_strings_are_quoted() {
        let plain = ["chat.example.com", "https://a.example:8443/x", "/healthz?full=1", "round_robin", "e1", "NAME"];
        for text in plain {
            assert_eq!(yaml_scalar(text), text);
        }
        let quoted = [
            "",
            "~",
            "No",
            "null",
            "1",
            "1e3",
            "0x1",
            "12:30",
            "127.0.0.1:8080",
            ".inf",
            "-",
            "a: b",
            "a:",
            "a #b",
            "*.a",
            "[::1]",
        ];
        for text in quoted {
            assert_eq!(yaml_scalar(text), format!("\"{text}\""));
            assert!(is(&entry(&format!("key: {}", yaml_scalar(text))).1, text), "{text}");
        }
    }
}
