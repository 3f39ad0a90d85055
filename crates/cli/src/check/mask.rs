//! Lines of a file without the secrets in them, because what is printed ends up in logs.

use tunnel_balancer_config::names_a_secret;

/// `line` with asterisks for what must not be seen: values of keys that usually hold a secret, unless they refer to one,
/// and what stands before the `@` in a URL. Everything else stays in its column.
pub(super) fn masked(line: &str) -> String {
    let mut hidden = vec![false; line.len()];
    for (colon, _) in line.match_indices(':') {
        let (before, after) = (&line[..colon], &line[colon + 1..]);
        let secret = match after.strip_prefix("//") {
            Some(authority) => credentials(authority).map(|length| (colon + 3, length)),
            None => value(before, after).map(|(start, length)| (colon + 1 + start, length)),
        };
        if let Some((start, length)) = secret {
            hidden[start..start + length].fill(true);
        }
    }
    line.char_indices().map(|(index, c)| if hidden[index] { '*' } else { c }).collect()
}

/// How much of what follows `//` comes before an `@`.
fn credentials(authority: &str) -> Option<usize> {
    let end = authority.find(|c: char| c.is_whitespace() || "/\"'".contains(c)).unwrap_or(authority.len());
    authority[..end].rfind('@')
}

/// Where in `after`, which follows a colon, a secret begins and how long it is.
fn value(before: &str, after: &str) -> Option<(usize, usize)> {
    let is_key_char = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let key = before.trim_end().trim_end_matches(['"', '\'']);
    let key =
        &key[key.rfind(|c| !is_key_char(c)).map_or(0, |at| at + key[at..].chars().next().map_or(1, char::len_utf8))..];
    let value = after.trim_start();
    if !names_a_secret(key) || value.is_empty() || value.starts_with(['{', '[']) {
        return None;
    }
    let start = after.len() - value.len();
    let is_in_a_map = before.matches('{').count() > before.matches('}').count();
    let end = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => value[1..].find(quote).map_or(value.len(), |end| end + 2),
        _ if is_in_a_map => value.find([',', '}']).unwrap_or(value.len()),
        _ => value.len(),
    };
    let value = value[..end].trim_end();
    (!value.contains("${")).then_some((start, value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_nothing_else_moves() {
        let table = [
            ("    key: hunter2", "    key: *******"),
            ("    key: \"${KEY}\"", "    key: \"${KEY}\""),
            ("affinity: { cookie: lb, key: hunter2, ttl: 1h }", "affinity: { cookie: lb, key: *******, ttl: 1h }"),
            ("{ key: 'a, } b', x: y }", "{ key: ********, x: y }"),
            ("  Authorization: Basic dXNlcg==, x", "  Authorization: *****************"),
            ("  \"X-Api-Key\": ähm", "  \"X-Api-Key\": ***"),
            ("  Authorization: \"Bearer ${TOKEN}\"", "  Authorization: \"Bearer ${TOKEN}\""),
            ("- https://user:pass@a.example.com/x", "- https://*********@a.example.com/x"),
            (
                "[\"http://u:p@ss@b.example.com\", c.example.com:80]",
                "[\"http://******@b.example.com\", c.example.com:80]",
            ),
            ("- https://a.example.com/@x", "- https://a.example.com/@x"),
            ("ü: { ключ: a, secret: b}", "ü: { ключ: a, secret: *}"),
            ("keys: a", "keys: a"),
            ("key:", "key:"),
            ("", ""),
        ];
        for (line, expected) in table {
            assert_eq!(masked(line), expected, "{line}");
            assert_eq!(masked(line).chars().count(), line.chars().count());
        }
    }
}
