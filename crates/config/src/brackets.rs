//! Finds brackets of flow collections in a file that has not been parsed.
//!
//! The library needs quadratic time for nested brackets and limits the depth too late, so it is
//! limited before. A bracket counts unless it is in quotes, in a comment, in a block scalar or in a
//! plain string of a block.

use crate::lines::BREAKS;

/// The brackets that exceed a limit.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    /// Too many levels, at this byte.
    Levels(usize),
    /// Too many opening brackets that do not count. A file that is not valid YAML can hide its
    /// levels there.
    Hidden(usize),
}

/// Returns the first bracket that exceeds one of the limits.
pub(crate) fn excess(text: &str, max_levels: usize, max_hidden: usize) -> Option<Excess> {
    let mut scanner = Scanner { text, at: 0, depth: 0 };
    let mut hidden = 0;
    while let Some(token) = scanner.next_token() {
        match token {
            Token::Open if scanner.depth > max_levels => return Some(Excess::Levels(scanner.at - 1)),
            Token::Open => {}
            Token::Skipped { from } => {
                let skipped = text.get(from..scanner.at).unwrap_or_default();
                let found = skipped.match_indices(['[', '{']).nth(max_hidden - hidden);
                if let Some((index, _)) = found {
                    return Some(Excess::Hidden(from + index));
                }
                hidden += skipped.matches(['[', '{']).count();
            }
        }
    }
    None
}

enum Token {
    /// An opening bracket, before `at`.
    Open,
    /// A part without brackets that count.
    Skipped { from: usize },
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    /// The number of open brackets.
    depth: usize,
}

impl Scanner<'_> {
    /// Reads the next bracket, string or comment. `None` at the end.
    fn next_token(&mut self) -> Option<Token> {
        loop {
            let from = self.at;
            let first = self.rest().chars().next()?;
            match first {
                '[' | '{' => {
                    self.at += 1;
                    self.depth += 1;
                    return Some(Token::Open);
                }
                ']' | '}' => {
                    self.at += 1;
                    self.depth = self.depth.saturating_sub(1);
                }
                '#' if self.follows_blank() => self.skip_until(|_, rest| rest.starts_with(BREAKS)),
                '"' => self.skip_double_quoted(),
                '\'' => self.skip_single_quoted(),
                '|' | '>' if self.depth == 0 => self.skip_block_scalar(),
                '-' if self.rest().starts_with("---") => self.at += 3,
                // Indicators, after which there can be strings in quotes.
                '-' | '?' if self.is_blank_after() => self.at += 1,
                ':' if self.depth > 0 || self.is_blank_after() => self.at += 1,
                ',' if self.depth > 0 => self.at += 1,
                // A tag, an anchor or an alias. A string can follow.
                '!' | '&' | '*' => self.skip_until(|_, rest| {
                    let is_end = |c: char| is_blank(c) || matches!(c, ',' | '[' | ']' | '{' | '}');
                    rest.starts_with(is_end)
                }),
                _ if is_blank(first) => self.at += first.len_utf8(),
                _ => self.skip_plain(),
            }
            if !matches!(first, ']' | '}') && self.at > from + 1 {
                return Some(Token::Skipped { from });
            }
        }
    }

    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn follows_blank(&self) -> bool {
        self.text.get(..self.at).and_then(|before| before.chars().next_back()).is_none_or(is_blank)
    }

    fn is_blank_after(&self) -> bool {
        self.rest().chars().nth(1).is_none_or(is_blank)
    }

    /// Skips a character, and others until `is_end` of the last one and the rest.
    fn skip_until(&mut self, is_end: impl Fn(char, &str) -> bool) {
        while let Some(skipped) = self.rest().chars().next() {
            self.at += skipped.len_utf8();
            if is_end(skipped, self.rest()) {
                return;
            }
        }
    }

    fn skip_double_quoted(&mut self) {
        let mut escaped = true;
        let end = self.rest().find(|c| {
            let is_end = c == '"' && !escaped;
            // The quote at the start is not the end.
            escaped = c == '\\' && !escaped;
            is_end
        });
        self.at += end.map_or_else(|| self.rest().len(), |end| end + 1);
    }

    fn skip_single_quoted(&mut self) {
        self.at += 1;
        self.at += self.rest().find('\'').map_or_else(|| self.rest().len(), |end| end + 1);
    }

    /// Skips a plain string: to the end of the line in a block, and over lines in brackets.
    fn skip_plain(&mut self) {
        let is_in_block = self.depth == 0;
        let is_key_end = |rest: &str| {
            let mut rest = rest.chars();
            rest.next() == Some(':') && rest.next().is_none_or(|c| is_blank(c) || !is_in_block && ",[]{}".contains(c))
        };
        self.skip_until(|last, rest| {
            let is_comment = is_blank(last) && rest.starts_with('#');
            let is_end =
                if is_in_block { rest.starts_with(BREAKS) } else { rest.starts_with([',', '[', ']', '{', '}']) };
            is_end || is_comment || is_key_end(rest)
        });
    }

    /// Skips a literal or folded string: the lines that are indented more than its parent.
    fn skip_block_scalar(&mut self) {
        let before = self.text.get(..self.at).unwrap_or_default();
        let line = before.rsplit(BREAKS).next().unwrap_or_default();
        let content = line.trim_start_matches([' ', '-']);
        // At least one more than that of its key or of the dash of its item.
        let indentation = if content.is_empty() { line.trim_end().len() } else { line.len() - content.len() + 1 };
        self.skip_until(|_, rest| {
            let Some(next) = rest.strip_prefix(BREAKS) else { return rest.is_empty() };
            let content = next.trim_start_matches(' ');
            let is_empty = content.is_empty() || content.starts_with(BREAKS);
            !is_empty && next.len() - content.len() < indentation
        });
    }
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t') || BREAKS.contains(&c)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the greatest depth of a file.
    fn depth(text: &str) -> usize {
        (0..100).find(|levels| excess(text, *levels, usize::MAX / 2).is_none()).unwrap()
    }

    #[test]
    fn only_brackets_of_lists_and_maps_count() {
        let table = [
            ("", 0),
            ("a: [b, {c: []}]\nd: {}", 3),
            ("[\"]\",[']', [\"\\\"]\", [ ']'']', [", 5),
            ("{\"}\":{'}':{\"}\" :{? \"}\" : {a:{b:\"}", 6),
            ("[ # ]\n[ #]\n[a#]\n[a #]\n[#]\n", 4),
            ("[a \"b, [it's], ['s]']]", 2),
            ("[a\n\"b]\n[", 1),
            ("# [[[\na: b [[[ # [[\n? 'c[' : \"[\"\nd: e\"[\"", 0),
            ("a: |\n  [[\n\n   '\n b: [\nc: >- # [\n   [[\n  [", 0),
            ("a: |\nb: [[", 2),
            ("- - |\n   [[\n  - [[", 2),
            ("- a: |\n    [[\n  b: [", 1),
            ("!a [&b [*c , !d \"]\", [", 3),
            ("--- [", 1),
            ("# a\u{85}[\r# ]\r\n# ]\u{2028}[", 2),
            ("- -a[\n- ?b[\n- :c[\n- a:b[\n- 'a':[", 0),
            ("[]]]]][[", 2),
            ("[\"", 1),
            ("['", 1),
        ];
        for (text, expected) in table {
            assert_eq!(depth(text), expected, "{text}");
        }
    }

    #[test]
    fn the_first_bracket_beyond_a_limit_is_found() {
        assert_eq!(excess("a: [ [] [", 1, 0), Some(Excess::Levels(5)));
        assert_eq!(excess("a: [ 'x[', '[' ]", 1, 1), Some(Excess::Hidden(12)));
        assert_eq!(excess("a: [ 'x[', '[' ]", 1, 2), None);
    }
}
