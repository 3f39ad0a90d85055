//! Frequent typing errors that YAML accepts as a string, and their hints.

/// Returns the hint for characters that look like the syntax of YAML.
pub(crate) fn look_alike(text: &str) -> Option<&'static str> {
    if text.contains(['“', '”', '„', '‘', '’', '‚', '«', '»']) {
        Some("remove the typographic quotes, or replace them by `\"`")
    } else if text.contains('：') {
        Some("replace the full-width colon `：` by `: `")
    } else if text.contains(['，', '、']) {
        Some("replace the full-width comma by `, `")
    } else if text.contains(['\u{a0}', '\u{202f}', '\u{3000}']) {
        Some("replace the no-break or full-width space by a space")
    } else {
        None
    }
}

/// Returns the error and the hint for a character of a host that looks like another one or is
/// invisible.
pub(crate) fn in_host(host: &str) -> Option<(String, &'static str)> {
    let is_dash = |c: char| matches!(c, '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{fe58}' | '\u{fe63}' | '\u{ff0d}');
    let found = host.chars().find(|c| is_dash(*c) || is_invisible(*c))?;
    let code = u32::from(found);
    Some(if is_dash(found) {
        (format!("has the character `{found}` (U+{code:04X}), which is not a hyphen"), "write `-`")
    } else {
        (format!("has the invisible character U+{code:04X}"), "remove it, or type the hostname again")
    })
}

/// The Cyrillic letters that look like Latin ones.
const CYRILLIC_LOOK_ALIKES: &str = "аԁеһіјкӏорԛсѕѵԝхуү";

/// Returns the first letter of another alphabet in a label with Latin letters, or in one whose
/// letters all look like Latin ones.
pub(crate) fn mixed_script(host: &str) -> Option<char> {
    let is_other = |c: &char| matches!(c, '\u{370}'..='\u{58f}' | '\u{13a0}'..='\u{13ff}') && c.is_alphabetic();
    let is_mixed = |label: &&str| {
        label.contains(|c: char| c.is_ascii_alphabetic())
            || label.chars().filter(|c| c.is_alphabetic()).all(|c| CYRILLIC_LOOK_ALIKES.contains(c))
    };
    host.split('.').filter(is_mixed).find_map(|label| label.chars().find(is_other))
}

/// Returns whether a character is not visible, or changes the order of others.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{3164}')
        || matches!(c, '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}')
        || matches!(c, '\u{e0000}'..='\u{e0fff}')
}

/// Returns the hint for a string in place of a map or a list: without a space after `:` or `-`,
/// YAML starts neither.
pub(crate) fn missing_space(text: &str) -> Option<&'static str> {
    look_alike(text).or_else(|| {
        if has_bullet(text) {
            Some(BULLET)
        } else if text.split_once(": ").is_some_and(|(key, _)| is_key(key)) {
            Some("write it as a map, without quotes")
        } else if text.split_once(" = ").is_some_and(|(key, _)| is_key(key)) {
            Some("write `: ` instead of `=`")
        } else if text.split_once(" - ").is_some_and(|(key, _)| is_key(key)) {
            Some("add a colon after the key above the list")
        } else if is_item(text) {
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
    let line = line.split(" #").next().unwrap_or_default();
    if line.trim_start().starts_with("```") {
        return Some("remove the Markdown fence: the lines that start with three backticks");
    }
    if line.contains('\u{a0}') && !line.trim_start().starts_with('#') {
        return look_alike(line);
    }
    let line = line.trim();
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
    let first = value.split_whitespace().next().unwrap_or_default();
    let port = first.split('/').next().unwrap_or_default();
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    is_key(key) && !value.starts_with("//") && !value.starts_with(' ') && !is_port
}

/// Returns whether a string could be a setting or a public address.
pub(crate) fn is_key(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
}

pub(crate) const BULLET: &str = "write `- ` before each item of the list";

/// Returns whether a string starts with a bullet instead of `- `.
pub(crate) fn has_bullet(text: &str) -> bool {
    text.strip_prefix(['\u{2013}', '\u{2014}', '\u{2022}', '\u{b7}', '\u{2023}', '\u{2212}'])
        .is_some_and(|rest| rest.starts_with(' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_another_alphabet_are_found() {
        let table = [
            ("chаt.example.com", Some('а')),
            ("сор-1.example.com", Some('с')),
            ("app.ехро.com", Some('е')),
            ("пример.рф", None),
            ("πρω.example.com", None),
            ("chat.example.com", None),
        ];
        for (host, expected) in table {
            assert_eq!(mixed_script(host), expected, "{host}");
        }
    }

    #[test]
    fn missing_spaces_are_recognized() {
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
