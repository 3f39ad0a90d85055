//! Frequent typing errors that YAML accepts as a string, and their hints.

/// Returns the hint for characters that look like the syntax of YAML.
pub(crate) fn look_alike(text: &str) -> Option<&'static str> {
    if text.contains(['“', '”', '„', '‘', '’', '‚', '«', '»']) {
        Some("remove the typographic quotes, or replace them by `\"`")
    } else if text.contains('：') {
        Some("replace the full-width colon `：` by `: `")
    } else {
        None
    }
}

/// Returns the hint for a string in place of a map or a list: without a space after `:` or `-`,
/// YAML starts neither.
pub(crate) fn missing_space(text: &str) -> Option<&'static str> {
    look_alike(text).or_else(|| {
        if is_item(text) {
            Some("add a space after each `-` of the list")
        } else if is_entry(text) {
            Some("add a space after the colon of each key")
        } else {
            None
        }
    })
}

/// Returns the hint for a line of a file with a syntax error.
pub(crate) fn in_line(line: &str) -> Option<&'static str> {
    let line = line.split(" #").next().unwrap_or_default().trim();
    if line.starts_with('#') || line.contains(": ") || line.ends_with(':') {
        return look_alike(line).filter(|_| !line.starts_with('#'));
    }
    missing_space(line.strip_prefix("- ").unwrap_or(line))
}

/// Returns whether a string looks like `-item`.
pub(crate) fn is_item(text: &str) -> bool {
    text.strip_prefix('-').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()))
}

/// Returns whether a string looks like `key:value`, and not like `host:port` or a URL.
pub(crate) fn is_entry(text: &str) -> bool {
    let Some((key, value)) = text.split_once(':') else { return false };
    let key = key.trim_matches(['"', '\'']);
    let is_key = key.starts_with(|c: char| c.is_ascii_alphabetic())
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b));
    let first = value.split_whitespace().next().unwrap_or_default();
    let port = first.split('/').next().unwrap_or_default();
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    is_key && !value.starts_with("//") && !is_port
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_spaces_are_recognised() {
        let (colon, dash) =
            (Some("add a space after the colon of each key"), Some("add a space after each `-` of the list"));
        let table = [
            ("chat.example.com:[a, b]", colon),
            ("chat.example.com:chat-a.example.com", colon),
            ("path:/health interval:30s", colon),
            ("-a.example.com -b.example.com", dash),
            ("chat.example.com：[a]", Some("replace the full-width colon `：` by `: `")),
            ("“chat.example.com”", Some("remove the typographic quotes, or replace them by `\"`")),
            ("chat.example.com:8443", None),
            ("chat.example.com:8443/path", None),
            ("https://chat.example.com", None),
            ("chat.example.com", None),
            ("-", None),
            ("", None),
        ];
        for (text, expected) in table {
            assert_eq!(missing_space(text), expected, "{text}");
        }
    }
}
