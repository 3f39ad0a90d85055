//! As much of JavaScript as is needed to find constants in a script: lists of texts, and numbers.
//!
//! A scanner for tokens, not a parser. What is no text, number or name is a mark of its own, so nothing in a script is an
//! error, and a list that is put together at run time is seen to be one that cannot be read.

/// One token, and the line it is on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Kind {
    Name(String),
    Text(String),
    Number(f64),
    /// A template with something to fill in, or a regular expression.
    Other,
    Mark(char),
}

/// The tokens of a script, without its comments.
pub(super) fn tokens(script: &str) -> Vec<Token> {
    let mut scanner = Scanner { rest: script, line: 1, tokens: Vec::new() };
    while scanner.step() {}
    scanner.tokens
}

struct Scanner<'s> {
    rest: &'s str,
    line: usize,
    tokens: Vec<Token>,
}

impl Scanner<'_> {
    /// Whether there was something left.
    fn step(&mut self) -> bool {
        let Some(first) = self.rest.chars().next() else { return false };
        let line = self.line;
        let kind = match first {
            c if c.is_whitespace() => {
                self.take(c.len_utf8());
                return true;
            }
            '/' if self.rest.starts_with("//") => {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
                return true;
            }
            '/' if self.rest.starts_with("/*") => {
                self.take(self.rest.find("*/").map_or(self.rest.len(), |end| end + 2));
                return true;
            }
            '/' if self.begins_pattern() => match pattern_end(self.rest) {
                Some(end) => {
                    self.take(end);
                    Kind::Other
                }
                None => self.mark('/'),
            },
            '"' | '\'' | '`' => match text(self.rest, first) {
                Some((end, text)) => {
                    self.take(end);
                    text.map_or(Kind::Other, Kind::Text)
                }
                None => self.mark(first),
            },
            c if c.is_ascii_digit() => {
                let end = self
                    .rest
                    .find(|c: char| !c.is_ascii_alphanumeric() && !"._".contains(c))
                    .unwrap_or(self.rest.len());
                self.take(end).replace('_', "").parse().map_or(Kind::Other, Kind::Number)
            }
            c if is_name(c) => {
                let end = self.rest.find(|c| !is_name(c)).unwrap_or(self.rest.len());
                Kind::Name(self.take(end).to_owned())
            }
            c => self.mark(c),
        };
        self.tokens.push(Token { kind, line });
        true
    }

    fn mark(&mut self, mark: char) -> Kind {
        self.take(mark.len_utf8());
        Kind::Mark(mark)
    }

    /// Goes on by so many bytes, which must end at a character.
    fn take(&mut self, bytes: usize) -> &str {
        let (taken, rest) = self.rest.split_at_checked(bytes).unwrap_or((self.rest, ""));
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Whether a `/` here begins a regular expression, as it does where a value is expected.
    fn begins_pattern(&self) -> bool {
        match self.tokens.last().map(|token| &token.kind) {
            None => true,
            Some(Kind::Mark(mark)) => !")]}".contains(*mark),
            Some(Kind::Name(name)) => matches!(name.as_str(), "return" | "typeof" | "case" | "in" | "of"),
            Some(_) => false,
        }
    }
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '$' | '#')
}

/// Where the regular expression at the beginning ends; it does so on its line.
fn pattern_end(script: &str) -> Option<usize> {
    let (mut escaped, mut in_class) = (false, false);
    for (at, c) in script.char_indices().skip(1) {
        match c {
            '\n' => return None,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '/' if !in_class => return Some(at + 1),
            _ => {}
        }
    }
    None
}

/// Where the text at the beginning ends, and what it says; no text where something has to be filled in. `None` where it
/// does not end.
fn text(script: &str, quote: char) -> Option<(usize, Option<String>)> {
    let mut said = Some(String::new());
    // The braces that are open inside a `${ }`.
    let mut depth = 0_usize;
    let mut chars = script.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, escaped) = chars.next()?;
                match escape(escaped) {
                    Some(c) => said.iter_mut().for_each(|said| said.extend(c)),
                    None => said = None,
                }
            }
            '{' | '}' if depth > 0 => depth = if c == '{' { depth + 1 } else { depth - 1 },
            c if c == quote && depth == 0 => return Some((at + 1, said)),
            '\n' if quote != '`' => return None,
            '$' if quote == '`' && depth == 0 && chars.peek().is_some_and(|(_, next)| *next == '{') => {
                chars.next();
                depth = 1;
                said = None;
            }
            c => said.iter_mut().for_each(|said| said.push(c)),
        }
    }
    None
}

/// What an escaped character stands for: nothing for the end of a line. `None` for a code, which no address is written in.
fn escape(c: char) -> Option<Option<char>> {
    match c {
        'n' => Some(Some('\n')),
        't' => Some(Some('\t')),
        'r' => Some(Some('\r')),
        '\n' => Some(None),
        'x' | 'u' | '0'..='9' => None,
        c => Some(Some(c)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: &str) {
        let tokens: Vec<String> = tokens(script)
            .into_iter()
            .map(|token| match token.kind {
                Kind::Name(name) => name,
                Kind::Text(text) => format!("{text:?}"),
                Kind::Number(number) => number.to_string(),
                Kind::Other => "?".to_owned(),
                Kind::Mark(mark) => mark.to_string(),
            })
            .collect();
        assert_eq!(tokens.join(" "), expected, "{script}");
    }

    #[test]
    fn texts_numbers_and_names_are_told_apart() {
        check("const A = ['x', \"y\", `z`];", "const A = [ \"x\" , \"y\" , \"z\" ] ;");
        check("30 * 1_000 // ms '", "30 * 1000");
        check("/* '\n' */ a /* never closed", "a");
        check("'it\\'s' \"a\\\nb\" '\\x41' 'open\nb", "\"it's\" \"ab\" ? ' open b");
        check("`a${ {b: `c`} }d` e `f$g`", "? e \"f$g\"");
        check("x.replace(/['\"/]/g, '') a / b / c", "x . replace ( ? g , \"\" ) a / b / c");
        check("0x10 1e3 1.5s", "? 1000 ?");
        check("", "");
    }

    #[test]
    fn tokens_know_their_lines() {
        let lines: Vec<usize> = tokens("a\n/*\n*/ 'b'\r\n`\n` c").iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 4, 5]);
    }
}
