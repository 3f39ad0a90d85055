//! Redaction of secrets in the lines of a file, which are printed and logged.

use tunnel_balancer_state::TargetKind;

use crate::headers::is_sensitive_name;
use crate::redact::redact_urls;

/// Replaces the values of sensitive keys and of headers, except references to secrets, and the
/// credentials and queries of URLs by asterisks. Columns do not change. `is_header`: the line is
/// part of a map of headers.
pub(crate) fn redact_line(line: &str, is_header: bool) -> String {
    let line = redact_urls(line);
    let mut shown = String::new();
    let (mut rest, mut depth) = (&line[..], 0);
    // The depth of brackets in a map of headers.
    let mut headers_depth = None;
    while let Some(colon) = rest.find(':') {
        let (before, after) = (&rest[..colon], &rest[colon + 1..]);
        depth += before.matches(['{', '[']).count() as i32 - before.matches(['}', ']']).count() as i32;
        headers_depth = headers_depth.filter(|headers| depth >= *headers);
        let start = colon + 1 + after.len() - after.trim_start().len();
        let (key, value) = (key(before), &rest[start..]);
        let is_hidden = is_header || headers_depth.is_some() || is_sensitive(key, value);
        let end = start + if is_hidden { length(value, depth > 0) } else { 0 };
        if key == "headers" && value.starts_with('{') {
            headers_depth = Some(depth + 1);
        }
        shown += &rest[..start];
        shown += &hidden(&rest[start..end]);
        rest = &rest[end..];
    }
    if is_header && shown.is_empty() {
        let text = rest.trim_start();
        let indentation = &rest[..rest.len() - text.len()];
        return format!("{indentation}{}", hidden(text.trim_end()));
    }
    shown + rest
}

/// Returns whether line `number`, counted from 1, is inside a map of headers. `line` returns the
/// line with a number.
pub(crate) fn is_in_headers<'a>(number: usize, line: impl Fn(usize) -> &'a str) -> bool {
    let indentation = |text: &str| text.len() - text.trim_start_matches([' ', '-']).len();
    let mut indented = indentation(line(number));
    for above in (1..number).rev().map(line) {
        let text = above.trim();
        if indented == 0 {
            return false;
        }
        if text.is_empty() || text.starts_with('#') || indentation(above) >= indented {
            continue;
        }
        if above.split(':').any(|before| key(before) == "headers") {
            return true;
        }
        indented = indentation(above);
    }
    false
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
        _ if value.contains("://") && TargetKind::NAMES.iter().any(|(kind, _)| *kind == key) => true,
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
            ("headers: { X-App: ok, X-Key: a }", "headers: { X-App: **, X-Key: * }"),
            (
                "{ headers: { X-Pass: a, X-App: \"${APP}\" }, name: b }",
                "{ headers: { X-Pass: *, X-App: \"${APP}\" }, name: b }",
            ),
            ("- https://user:pass@a.example.com/x", "- https://*********@a.example.com/x"),
            ("- https://a.example.com/@x", "- https://a.example.com/@x"),
            ("{ url: \"https://b/?token=x\", weight: 1 }", "{ url: \"https://b/?*******\", weight: 1 }"),
            ("ü: { ключ: a, secret: b}", "ü: { ключ: a, secret: *}"),
            ("- discord: https://a.example/x # c", "- discord: ***********************"),
            ("- { json: \"https://a/${X}\", hostnames: true }", "- { json: ***********${X}*, hostnames: true }"),
            ("keys: a", "keys: a"),
            ("key:", "key:"),
            ("", ""),
        ];
        for (line, expected) in table {
            assert_eq!(redact_line(line, false), expected, "{line}");
            assert_eq!(expected.chars().count(), line.chars().count());
        }
    }

    #[test]
    fn values_of_headers_are_redacted() {
        let lines = [
            ("services:", false, "services:"),
            ("  a.example.com:", false, "  a.example.com:"),
            ("    - url: a-1.example.com", false, "    - url: a-1.example.com"),
            ("      headers:", false, "      headers:"),
            ("        x-pass: hunter2", true, "        x-pass: *******"),
            ("", false, ""),
            ("        x-id: \"${ID}\"", true, "        x-id: \"${ID}\""),
            ("        x-app: |", true, "        x-app: *"),
            ("          hunter2", true, "          *******"),
            ("      name: a", false, "      name: a"),
            ("    - headers: { x-pass: hunter2 }", false, "    - headers: { x-pass: ******* }"),
            ("      url: a-2.example.com", false, "      url: a-2.example.com"),
        ];
        let line = |number: usize| lines[number - 1].0;
        for (index, (text, expected, shown)) in lines.into_iter().enumerate() {
            let found = is_in_headers(index + 1, line);
            assert_eq!(found && !text.is_empty(), expected, "{text}");
            assert_eq!(redact_line(text, found), shown);
        }
    }

    /// With a scan of the rest of the line for every key, it would take minutes.
    #[test]
    fn redaction_takes_linear_time() {
        let part = 256 * 1024 / 16;
        for text in [
            "key: ",
            "{ key: a, ",
            "cookie: a, ",
            "{ cookie: [ ",
            "x://a:b@",
            "x://a:b ",
            "key: \"",
            "a?/",
            "${",
            "key: ${a ",
        ] {
            assert!(!redact_line(&text.repeat(part), false).is_empty());
        }
    }
}
