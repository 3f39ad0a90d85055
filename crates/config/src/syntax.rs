//! Syntax errors of YAML and their hints.

use crate::brackets::{self, Excess};
use crate::lines::{Lines, Position, position_of};
use crate::slips;

/// The limit of nested brackets. The library has the same limit for lists and maps of any form.
const MAX_LEVELS: usize = 128;

/// The limit of brackets in strings and comments.
const MAX_HIDDEN: usize = 10_000;

pub(crate) const SECOND_DOCUMENT: &str = "a second document starts here";

/// The reason why a file is not a YAML document.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) position: Position,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl SyntaxError {
    /// Creates an error, with the hint for its usual cause.
    pub(crate) fn new(position: Position, message: impl Into<String>, text: &str) -> Self {
        let message = message.into();
        let lines = Lines::new(text);
        let line = lines.line(position.line);
        let before = (1..position.line).rev().map(|number| lines.line(number)).find(|line| !line.trim().is_empty());
        let before = before.unwrap_or_default();
        let indentation = line.split(|c: char| !c.is_whitespace()).next().unwrap_or_default();
        let missing_colon = key_without_colon(&message, &lines, position.line);
        let hint = if indentation.contains('\t') {
            Some("indent with spaces: YAML does not allow tabs")
        } else if let Some(hint) = slips::in_line(line).or_else(|| slips::in_line(before)) {
            Some(hint)
        } else if let Some(key) = missing_colon {
            return Self { position, message, hint: Some(format!("add a colon: `{key}:`")) };
        } else if message.contains("did not find expected") && [" ${", ",${", "[${"].iter().any(|it| line.contains(it))
        {
            Some("put the reference in double quotes: `\"${NAME}\"`")
        } else {
            HINTS.iter().find(|(part, _)| message.contains(part)).map(|(_, hint)| *hint)
        };
        Self { position, message, hint: hint.map(str::to_owned) }
    }
}

/// Returns the key without its colon that is the likely cause of an error in line `number`.
fn key_without_colon<'a>(message: &str, lines: &Lines<'a>, number: usize) -> Option<&'a str> {
    let key = if message.starts_with("mapping values are not allowed") {
        let above = || (1..number).rev().map(|number| lines.line(number)).filter(|line| !line.trim().is_empty());
        let is_item = |line: &&str| line.trim_start().starts_with("- ");
        // A key above a list, or the line above, which may be an item with a map.
        let key = above().find(|line| !is_item(line)).map(str::trim).filter(|key| slips::is_key(key));
        key.or_else(|| Some(above().next()?.trim().trim_start_matches("- ")))?
    } else if message.starts_with("could not find expected ':'") {
        let (_, place) = message.rsplit_once(" at line ")?;
        lines.line(place.split(' ').next()?.parse().ok()?).trim()
    } else {
        return None;
    };
    Some(key).filter(|key| slips::is_key(key))
}

const HINTS: [(&str, &str); 13] = [
    ("is not allowed", "remove it, or write it as an escape in double quotes"),
    ("levels of `[`", NO_LEVELS),
    ("`[` and `{`", "remove brackets from strings and comments"),
    ("a second document", "remove the `---` line"),
    ("recursion limit", NO_LEVELS),
    ("those of aliases", NO_ALIASES),
    ("repetition limit", NO_ALIASES),
    ("alias", STAR),
    ("anchor", STAR),
    ("cannot start any token", "put a string that starts with this character in double quotes"),
    ("mapping values are not allowed", "check the indentation; put a string that contains `: ` in double quotes"),
    ("did not find expected", "check the indentation and the brackets here and one line above"),
    ("expected ':'", "add the missing colon, or correct the indentation, here or one line above"),
];
const NO_LEVELS: &str = "remove levels: no setting is nested that deeply";
const NO_ALIASES: &str = "write the values out instead of using aliases";
const STAR: &str = "put a string that starts with `*` or `&` in double quotes";

/// Detects errors that the library reports late or unclearly.
pub(crate) fn check(text: &str) -> Result<(), SyntaxError> {
    let is_forbidden = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    if let Some((index, found)) = text.char_indices().find(|(_, c)| is_forbidden(*c)) {
        let message = format!("the character U+{:04X} is not allowed", u32::from(found));
        return Err(SyntaxError::new(position_of(text, index), message, text));
    }
    let (index, message) = match brackets::excess(text, MAX_LEVELS, MAX_HIDDEN) {
        Some(Excess::Levels(index)) => (index, format!("more than {MAX_LEVELS} levels of `[` and `{{`")),
        Some(Excess::Hidden(index)) => (index, format!("more than {MAX_HIDDEN} `[` and `{{` in strings and comments")),
        None => return Ok(()),
    };
    Err(SyntaxError::new(position_of(text, index), message, text))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn syntax_errors_have_positions_and_hints() {
        let deep = "- ".repeat(129);
        let (nested, hidden) = ("[".repeat(10_000), "{\"}\":".repeat(9_000));
        let brackets = "- '['\n".repeat(MAX_HIDDEN + 1);
        let many = format!("- &a [{}]\n- [{}]", "x,".repeat(1_000), "*a,".repeat(100));
        let table = [
            (
                "a:\n\tb: 1",
                "2:1 found character that cannot start any token, while scanning for the next token; indent with \
                 spaces: YAML does not allow tabs",
            ),
            (
                "a: @b",
                "1:4 found character that cannot start any token, while scanning for the next token; put a string \
                 that starts with this character in double quotes",
            ),
            (
                "*.example.com: a",
                "1:2 did not find expected alphabetic or numeric character, while scanning an alias; put a string \
                 that starts with `*` or `&` in double quotes",
            ),
            ("a: *b", "1:4 unknown anchor; put a string that starts with `*` or `&` in double quotes"),
            (
                "a: b\n  c: d",
                "2:4 mapping values are not allowed in this context; check the indentation; put a string that \
                 contains `: ` in double quotes",
            ),
            (
                "a: 1\nb\n",
                "3:1 could not find expected ':', while scanning a simple key at line 2 column 1; add a colon: `b:`",
            ),
            (
                "a:\n  b.test/c\n    - d: e",
                "3:8 mapping values are not allowed in this context; add a colon: `b.test/c:`",
            ),
            (
                "a: [b\n",
                "2:1 did not find expected ',' or ']', while parsing a flow sequence at line 1 column 4; check the \
                 indentation and the brackets here and one line above",
            ),
            (
                "[a] b",
                "1:5 did not find expected <document start>; check the indentation and the brackets here and one line \
                 above",
            ),
            ("a: 1\n---\nb: 2", "3:1 a second document starts here; remove the `---` line"),
            (
                "a: 1\nb: x\0y",
                "2:5 the character U+0000 is not allowed; remove it, or write it as an escape in double quotes",
            ),
            (
                "a: 1\rb: 2\r\nc: 3\u{85}d: 4\u{2028}e: x\0y",
                "5:5 the character U+0000 is not allowed; remove it, or write it as an escape in double quotes",
            ),
            (&deep, "1:257 recursion limit exceeded; remove levels: no setting is nested that deeply"),
            ("&a [*a]", "1:1 recursion limit exceeded; remove levels: no setting is nested that deeply"),
            (&nested, "1:129 more than 128 levels of `[` and `{`; remove levels: no setting is nested that deeply"),
            (&hidden, "1:641 more than 128 levels of `[` and `{`; remove levels: no setting is nested that deeply"),
            (
                &brackets,
                "10001:4 more than 10000 `[` and `{` in strings and comments; remove brackets from strings and \
                 comments",
            ),
            (
                &many,
                "1:1803 more than 100000 values, including those of aliases; write the values out instead of using \
                 aliases",
            ),
        ];
        for (text, expected) in table {
            let SyntaxError { position, message, hint } = yaml::read(text).unwrap_err();
            let found = format!("{}:{} {message}; {}", position.line, position.column, hint.as_deref().unwrap_or("-"));
            assert_eq!(found, expected, "{}", text.get(..40).unwrap_or(text));
        }
    }

    #[test]
    fn an_alias_bomb_is_not_expanded() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        let error = yaml::read(&text).unwrap_err();
        assert_eq!(error.message, "more than 100000 values, including those of aliases");
    }
}
