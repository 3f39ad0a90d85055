//! As much of JavaScript as is needed to find constants in a script: lists of texts, and numbers.
//!
//! A scanner for tokens, not a parser. What is no text, number or name is a mark of its own, so
//! nothing in a script is an error, and a list that is put together at run time is seen to be one
//! that cannot be read.

use std::collections::BTreeMap;

/// One token, and the line it is on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) line: usize,
    /// How many brackets it is in.
    pub(super) depth: usize,
    /// How many tokens later the bracket closes that this one opens.
    pub(super) closes: Option<usize>,
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

/// Brackets in brackets, as deep as nobody writes them: each of them may be looked through once
/// more.
pub(super) const MOST_DEPTH: usize = 100;

/// The tokens of a script, without its comments; or the line on which brackets are nested too deep.
pub(super) fn tokens(script: &str) -> Result<Vec<Token>, usize> {
    let mut scanner = Scanner { rest: script, line: 1, tokens: Vec::new(), endless: BTreeMap::new() };
    while scanner.step() {}
    pair(&mut scanner.tokens)?;
    Ok(scanner.tokens)
}

struct Scanner<'s> {
    rest: &'s str,
    line: usize,
    tokens: Vec<Token>,
    /// What was begun and does not end: by its first character, how much of the script is left
    /// where the search for its end stopped. Nothing that begins before has to be searched again.
    endless: BTreeMap<char, usize>,
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
            '/' if self.begins_pattern() => self.until_end('/', |script| Ok((pattern_end(script)?, None))),
            '"' | '\'' | '`' => self.until_end(first, |script| text(script, first)),
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
        self.tokens.push(Token { kind, line, depth: 0, closes: None });
        true
    }

    /// Something that begins with `first`, or else only this mark.
    fn until_end(&mut self, first: char, find: impl Fn(&str) -> Result<(usize, Option<String>), usize>) -> Kind {
        if self.endless.get(&first).is_some_and(|left| self.rest.len() > *left) {
            return self.mark(first);
        }
        match find(self.rest) {
            Ok((end, text)) => {
                self.take(end);
                text.map_or(Kind::Other, Kind::Text)
            }
            Err(stopped) => {
                self.endless.insert(first, self.rest.len() - stopped);
                self.mark(first)
            }
        }
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

/// Finds which brackets belong together. One that is closed by none is over where one around it
/// closes.
fn pair(tokens: &mut [Token]) -> Result<(), usize> {
    let mut open: Vec<(usize, char)> = Vec::new();
    for at in 0..tokens.len() {
        let Some(token) = tokens.get_mut(at) else { break };
        token.depth = open.len();
        let Kind::Mark(mark) = token.kind else { continue };
        match mark {
            '[' => open.push((at, ']')),
            '{' => open.push((at, '}')),
            '(' => open.push((at, ')')),
            _ => {
                let Some(index) = open.iter().rposition(|(_, closing)| *closing == mark) else { continue };
                token.depth = index;
                let opening = open.drain(index..).next().map_or(at, |(opening, _)| opening);
                tokens.iter_mut().skip(opening).take(1).for_each(|token| token.closes = Some(at - opening));
            }
        }
        if open.len() > MOST_DEPTH {
            return Err(tokens.get(at).map_or(1, |token| token.line));
        }
    }
    Ok(())
}

/// Where the regular expression at the beginning ends; it does so on its line. Otherwise where the
/// search stopped.
fn pattern_end(script: &str) -> Result<usize, usize> {
    let (mut escaped, mut in_class) = (false, false);
    for (at, c) in script.char_indices().skip(1) {
        match c {
            '\n' => return Err(at),
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            '/' if !in_class => return Ok(at + 1),
            _ => {}
        }
    }
    Err(script.len())
}

/// Where the text at the beginning ends, and what it says; no text where something has to be filled
/// in. Where it does not end, where the search stopped.
fn text(script: &str, quote: char) -> Result<(usize, Option<String>), usize> {
    let mut said = Some(String::new());
    // The braces that are open inside a `${ }`.
    let mut depth = 0_usize;
    let mut chars = script.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                let (_, escaped) = chars.next().ok_or(script.len())?;
                match escape(escaped) {
                    Some(c) => said.iter_mut().for_each(|said| said.extend(c)),
                    None => said = None,
                }
            }
            '{' | '}' if depth > 0 => depth = if c == '{' { depth + 1 } else { depth - 1 },
            c if c == quote && depth == 0 => return Ok((at + 1, said)),
            '\n' if quote != '`' => return Err(at),
            '$' if quote == '`' && depth == 0 && chars.peek().is_some_and(|(_, next)| *next == '{') => {
                chars.next();
                depth = 1;
                said = None;
            }
            c => said.iter_mut().for_each(|said| said.push(c)),
        }
    }
    Err(script.len())
}

/// What an escaped character stands for: nothing for the end of a line. `None` for a code, which no
/// address is written in.
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
            .unwrap()
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
        let lines: Vec<usize> = tokens("a\n/*\n*/ 'b'\r\n`\n` c").unwrap().iter().map(|token| token.line).collect();
        assert_eq!(lines, [1, 3, 4, 5]);
    }

    #[test]
    fn brackets_are_paired() {
        let closes = |script: &str| -> Vec<_> {
            tokens(script)
                .unwrap()
                .iter()
                .map(|token| token.closes.map_or_else(|| "-".to_owned(), |it| it.to_string()))
                .collect()
        };
        assert_eq!(closes("[a(b)]").join(" "), "5 - 2 - - -");
        assert_eq!(closes("{ [ a } ] ( ').'").join(" "), "3 - - - - - -");
        let nested = |depth: usize| format!("\n{}{}", "[{(".repeat(depth), ")}]".repeat(depth));
        assert_eq!((tokens(&nested(33)).is_ok(), tokens(&nested(40))), (true, Err(2)));
    }

    /// Each of these took seconds when what does not end was searched again and again.
    #[test]
    fn the_time_grows_with_the_script_only() {
        let before = std::time::Instant::now();
        for piece in ["`${", "`", "'\\", "'\\'\\\n\\", "/[", "/*/", "\"\\", "= /\\", "}", "a ]"] {
            let _ = tokens(&piece.repeat(100_000));
        }
        assert!(before.elapsed().as_secs() < 20, "{:?}", before.elapsed());
    }
}
