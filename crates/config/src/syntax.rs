//! Texts that are no YAML document, and what to say about them.

/// Reading `[[[[` takes time that grows with the square of the depth, and the library counts the
/// depth too late. As brackets in quotes cannot be told apart without reading, all are counted,
/// nested or not: 0.3 s at worst.
const MAX_BRACKETS: usize = 10_000;

/// A place in the text, line and column counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// The first character.
pub(crate) const START: Position = Position { line: 1, column: 1 };

pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

const BREAKS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// A text line by line, as positions count them: YAML breaks lines at more characters than most
/// other readers.
#[derive(Clone, Debug)]
pub struct Lines<'a>(Vec<&'a str>);

impl<'a> Lines<'a> {
    /// The lines of `text`.
    pub fn new(text: &'a str) -> Self {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let parts = text.split_inclusive(BREAKS);
        let lines = parts.scan(false, |after_return, part| {
            let is_its_rest = std::mem::replace(after_return, part.ends_with('\r')) && part == "\n";
            Some((!is_its_rest).then(|| part.trim_end_matches(BREAKS)))
        });
        Self(lines.flatten().collect())
    }

    /// The line with a number, counted from 1; empty where there is none.
    pub fn line(&self, number: usize) -> &'a str {
        number.checked_sub(1).and_then(|index| self.0.get(index)).copied().unwrap_or_default()
    }
}

/// Why a text is no YAML document.
#[derive(Debug)]
pub(crate) struct SyntaxError {
    pub(crate) position: Position,
    pub(crate) message: String,
    pub(crate) hint: Option<&'static str>,
}

impl SyntaxError {
    /// An error in `text`, with what usually lies behind it.
    pub(crate) fn new(position: Position, message: impl Into<String>, text: &str) -> Self {
        let message = message.into();
        let line = Lines::new(text).line(position.line);
        let indentation = line.split(|c: char| !c.is_whitespace()).next().unwrap_or_default();
        let hint = if indentation.contains('\t') {
            Some("indent with spaces: YAML does not allow tabs")
        } else if message.contains("did not find expected") && [" ${", ",${", "[${"].iter().any(|it| line.contains(it))
        {
            Some("put a reference in double quotes, as in `\"${NAME}\"`")
        } else {
            HINTS.iter().find(|(part, _)| message.contains(part)).map(|(_, hint)| *hint)
        };
        Self { position, message, hint }
    }
}

const HINTS: [(&str, &str); 12] = [
    ("is not allowed", "remove it, or write it as an escape in double quotes"),
    ("`[` and `{`", "write lists and maps on lines of their own"),
    ("a second document", "put everything into one document, without a `---` line in between"),
    ("recursion limit", "no setting is nested that deeply"),
    ("what aliases stand for", NO_ALIASES),
    ("repetition limit", NO_ALIASES),
    ("alias", STAR),
    ("anchor", STAR),
    ("cannot start any token", "put a text that begins with this character in quotes"),
    ("mapping values are not allowed", "check the indentation; a text that contains `: ` must be in quotes"),
    ("did not find expected", "check the indentation and the brackets here and one line above"),
    ("expected ':'", "a colon is missing, or the indentation is wrong here or one line above"),
];
const NO_ALIASES: &str = "write the values out instead of using aliases";
const STAR: &str = "a text that begins with `*` or `&` must be in quotes";

/// What can be told before reading, and the library tells badly or late.
pub(crate) fn check(text: &str) -> Result<(), SyntaxError> {
    let is_forbidden = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r' | '\u{85}')) || matches!(c, '\u{fffe}' | '\u{ffff}')
    };
    if let Some((index, found)) = text.char_indices().find(|(_, c)| is_forbidden(*c)) {
        let message = format!("the character U+{:04X} is not allowed", u32::from(found));
        return Err(SyntaxError::new(position_of(text, index), message, text));
    }
    if let Some((index, _)) = text.match_indices(['[', '{']).nth(MAX_BRACKETS) {
        let message = format!("more than {MAX_BRACKETS} `[` and `{{`");
        return Err(SyntaxError::new(position_of(text, index), message, text));
    }
    Ok(())
}

fn position_of(text: &str, index: usize) -> Position {
    let before = text.get(..index).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let column = before.get(line_start..).unwrap_or_default().chars().count() + 1;
    Position { line: before.matches('\n').count() + 1, column }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn what_is_no_document_is_an_error_at_its_place() {
        let deep = "- ".repeat(129);
        let brackets = "[".repeat(MAX_BRACKETS + 1);
        let many = format!("- &a [{}]\n- [{}]", "x,".repeat(1_000), "*a,".repeat(100));
        let table = [
            (
                "a:\n\tb: 1",
                "2:1 found character that cannot start any token, while scanning for the next token; indent with spaces: YAML does not allow tabs",
            ),
            (
                "a: @b",
                "1:4 found character that cannot start any token, while scanning for the next token; put a text that begins with this character in quotes",
            ),
            (
                "*.example.com: a",
                "1:2 did not find expected alphabetic or numeric character, while scanning an alias; a text that begins with `*` or `&` must be in quotes",
            ),
            ("a: *b", "1:4 unknown anchor; a text that begins with `*` or `&` must be in quotes"),
            (
                "a: b\n  c: d",
                "2:4 mapping values are not allowed in this context; check the indentation; a text that contains `: ` must be in quotes",
            ),
            (
                "a: 1\nb\n",
                "3:1 could not find expected ':', while scanning a simple key at line 2 column 1; a colon is missing, or the indentation is wrong here or one line above",
            ),
            (
                "a: [b\n",
                "2:1 did not find expected ',' or ']', while parsing a flow sequence at line 1 column 4; check the indentation and the brackets here and one line above",
            ),
            (
                "[a] b",
                "1:5 did not find expected <document start>; check the indentation and the brackets here and one line above",
            ),
            (
                "a: 1\n---\nb: 2",
                "3:1 a second document begins here; put everything into one document, without a `---` line in between",
            ),
            (
                "a: 1\nb: x\0y",
                "2:5 the character U+0000 is not allowed; remove it, or write it as an escape in double quotes",
            ),
            (&deep, "1:257 recursion limit exceeded; no setting is nested that deeply"),
            ("&a [*a]", "1:1 recursion limit exceeded; no setting is nested that deeply"),
            (&brackets, "1:10001 more than 10000 `[` and `{`; write lists and maps on lines of their own"),
            (
                &many,
                "1:1803 more than 100000 values, with what aliases stand for; write the values out instead of using aliases",
            ),
        ];
        for (text, expected) in table {
            let SyntaxError { position, message, hint } = yaml::read(text).unwrap_err();
            let found = format!("{}:{} {message}; {}", position.line, position.column, hint.unwrap_or("-"));
            assert_eq!(found, expected, "{}", text.get(..40).unwrap_or(text));
        }
    }

    #[test]
    fn lines_are_counted_as_the_library_counts_them() {
        let text = "a: 1\r\nb: 2\n\nc: 3\rd: 4\u{85}e: 5\u{2028}f: 6";
        let lines = Lines::new(text);
        let root = yaml::read(text).unwrap();
        let crate::node::Value::Map(entries) = &root.value else { panic!("{root:?}") };
        let positions = yaml::positions(text, entries.iter().map(|(key, _)| key.id));
        let found: Vec<&str> = positions.values().map(|at| lines.line(at.line)).collect();
        assert_eq!(found, ["a: 1", "b: 2", "c: 3", "d: 4", "e: 5", "f: 6"]);
        assert_eq!((lines.line(0), lines.line(3), lines.line(99)), ("", "", ""));
    }

    #[test]
    fn an_alias_bomb_is_not_unfolded() {
        let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for level in 1..20 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
            text += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        let error = yaml::read(&text).unwrap_err();
        assert_eq!(error.message, "more than 100000 values, with what aliases stand for");
    }
}
