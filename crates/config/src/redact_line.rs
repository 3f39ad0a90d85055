//! Redaction of secrets in the lines of a file, which are printed and logged.

use crate::headers::is_sensitive_name;
use crate::redact::redact_urls;

/// Replaces the values of sensitive keys, except references to secrets, and the credentials and
/// queries of URLs by asterisks. Columns do not change.
pub(crate) fn redact_line(line: &str) -> String {
    let line = redact_urls(line);
    let mut shown = String::new();
    let (mut rest, mut depth) = (&line[..], 0);
    while let Some(colon) = rest.find(':') {
        let (before, after) = (&rest[..colon], &rest[colon + 1..]);
        depth += before.matches(['{', '[']).count() as i32 - before.matches(['}', ']']).count() as i32;
        let start = colon + 1 + after.len() - after.trim_start().len();
        let end = start + if is_sensitive(key(before), &rest[start..]) { length(&rest[start..], depth > 0) } else { 0 };
        shown += &rest[..start];
        shown += &hidden(&rest[start..end]);
        rest = &rest[end..];
    }
    shown + rest
}

/// Returns the key before a colon.
fn key(before: &str) -> &str {
    let is_of_a_key = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let key = before.trim_end().trim_end_matches(['"', '\'']);
    &key[key.trim_end_matches(is_of_a_key).len()..]
}

/// Returns whether the value of a key may be a secret. `value` starts after the colon.
fn is_sensitive(key: &str, value: &str) -> bool {
    match key {
        // The entries of a map are redacted one by one.
        "headers" => !value.starts_with('{'),
        // The name of a cookie. The value of the header `Cookie` has an equals sign.
        "cookie" => {
            let name = value.trim_start_matches(['"', '\'']);
            name.trim_start_matches(|c: char| c.is_ascii_graphic() && !"=,[]{}:".contains(c)).starts_with('=')
        }
        _ => is_sensitive_name(key),
    }
}

/// Returns the length of the value at the start of `text`. If the line is malformed, it is rather
/// too long than too short.
fn length(text: &str, is_in_brackets: bool) -> usize {
    let (mut quote, mut depth, mut is_escaped) = (None, 0, false);
    let is_closed = text.starts_with(['"', '\'', '[', '{']);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if is_escaped => is_escaped = false,
            (Some('"'), '\\') => is_escaped = true,
            (Some(open), _) => quote = quote.filter(|_| c != open),
            (None, '"' | '\'') => quote = Some(c),
            (None, '[' | '{') => depth += 1,
            (None, ']' | '}') if depth > 0 => depth -= 1,
            (None, ']' | '}') if is_in_brackets => return text[..at].trim_end().len(),
            (None, ',') if depth == 0 && is_in_brackets && is_entry(&text[at + 1..]) => return at,
            (None, '#') if depth == 0 && is_closed && text[..at].ends_with(' ') => return text[..at].trim_end().len(),
            _ => {}
        }
    }
    text.trim_end().len()
}

/// Returns whether another entry of a map starts here, and not the rest of an unquoted value.
fn is_entry(text: &str) -> bool {
    let text = text.trim_start();
    let name = text.trim_start_matches(['"', '\'']);
    let rest = name.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || "-_.".contains(c));
    text.is_empty() || (rest.len() < name.len() && rest.trim_start_matches(['"', '\'', ' ']).starts_with(':'))
}

/// Replaces all characters except references by asterisks.
fn hidden(value: &str) -> String {
    let (mut shown, mut rest) = (String::new(), value);
    let stars = |text: &str| "*".repeat(text.chars().count());
    while let Some((before, reference)) = rest.split_once("${") {
        let is_of_a_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
        let behind = reference.trim_start_matches(is_of_a_name);
        let Some(after) = behind.strip_prefix('}') else {
            shown += &stars(&rest[..before.len() + 2]);
            rest = reference;
            continue;
        };
        shown += &stars(before);
        shown += &rest[before.len()..rest.len() - after.len()];
        rest = after;
    }
    shown += &stars(rest);
    // Only the quotes would be redacted.
    let is_reference = shown.trim_matches('*').len() + 2 == value.len() && value.starts_with(['"', '\'']);
    if is_reference && value.ends_with(['"', '\'']) { value.to_owned() } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_redacted_and_columns_do_not_change() {
        let table = [
            ("    key: hunter2", "    key: *******"),
            ("    key: \"${KEY}\"", "    key: \"${KEY}\""),
            ("    key: \"${KEY}\" # of the cookie", "    key: \"${KEY}\" # of the cookie"),
            ("    key: '${KEY}'", "    key: '${KEY}'"),
            ("    key: \"${AFF}hunter2\"", "    key: *${AFF}********"),
            ("    key: \"hunter2${AFF}\"", "    key: ********${AFF}*"),
            ("    key: \"${a${AFF}", "    key: ****${AFF}"),
            ("affinity: { cookie: lb, key: hunter2, ttl: 1h }", "affinity: { cookie: lb, key: *******, ttl: 1h }"),
            ("{ key: 'a, } b', x: y }", "{ key: ********, x: y }"),
            ("{ key: \"a\\\", b: c\", x: y }", "{ key: ***********, x: y }"),
            ("{ key: 'a'', b: c', x: y }", "{ key: ***********, x: y }"),
            ("{ key: !x \"a, b: c\", x: y }", "{ key: ************, x: y }"),
            ("{ Authorization: Digest a, b=\"c\", x: y }", "{ Authorization: ***************, x: y }"),
            ("  Authorization: \"Bearer\" hunter2", "  Authorization: ****************"),
            ("  Authorization: Basic dXNlcg==, x", "  Authorization: *****************"),
            ("  Authorization: \"Bearer ${TOKEN}\"", "  Authorization: ********${TOKEN}*"),
            ("  Authorization: \"Bearer ${lower}hunter2\"", "  Authorization: ************************"),
            ("  Authorization: \"Bearer ${UNCLOSED hunter2\"", "  Authorization: ***************************"),
            ("  Authorization: { a: hunter2 }", "  Authorization: **************"),
            ("  X-Token: [hunter2]", "  X-Token: *********"),
            ("{ X-Token: [a, b: c], X-App: ok }", "{ X-Token: *********, X-App: ok }"),
            ("  \"X-Api-Key\": ähm", "  \"X-Api-Key\": ***"),
            ("  Cookie: \"session=hunter2\"", "  Cookie: *****************"),
            ("  cookie: session=hunter2", "  cookie: ***************"),
            ("  hash: { cookie: lb, x: a=b }", "  hash: { cookie: lb, x: a=b }"),
            ("  X-Auth: hunter2", "  X-Auth: *******"),
            ("headers: \"Custom hunter2\"", "headers: ****************"),
            ("headers: { X-App: ok, X-Key: a }", "headers: { X-App: ok, X-Key: * }"),
            ("- https://user:pass@a.example.com/x", "- https://*********@a.example.com/x"),
            ("- https://a.example.com/@x", "- https://a.example.com/@x"),
            ("{ url: \"https://b/?token=x\", weight: 1 }", "{ url: \"https://b/?*******\", weight: 1 }"),
            ("ü: { ключ: a, secret: b}", "ü: { ключ: a, secret: *}"),
            ("keys: a", "keys: a"),
            ("key:", "key:"),
            ("", ""),
        ];
        for (line, expected) in table {
            assert_eq!(redact_line(line), expected, "{line}");
            assert_eq!(redact_line(line).chars().count(), line.chars().count());
        }
    }

    /// With a scan of the rest of the line for every key, it would take minutes.
    #[test]
    fn redaction_takes_linear_time() {
        let part = 256 * 1024 / 16;
        for text in
            ["key: ", "{ key: a, ", "cookie: a, ", "{ cookie: [ ", "x://a:b@", "key: \"", "a?/", "${", "key: ${a "]
        {
            assert!(!redact_line(&text.repeat(part)).is_empty());
        }
    }
}
