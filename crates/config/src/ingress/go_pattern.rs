//! Regular expressions of Go's `regexp`, in the syntax of `regex-syntax`.
//!
//! The two share RE2's syntax. Translated are literals that have a meaning in only one of them, and
//! rejected are forms that only `regex-syntax` accepts.

use std::iter::Peekable;
use std::str::Chars;

/// Returns the pattern in the other syntax. What both reject is left as it is.
pub(super) fn translate(pattern: &str) -> Result<String, String> {
    let mut translation = Translation { rest: pattern.chars().peekable(), out: String::new() };
    // Whether a repetition operator was last: Go accepts no second one.
    let mut is_repeated = false;
    while let Some(c) = translation.rest.next() {
        if let Some(operator) = translation.operator(c)? {
            if is_repeated {
                return Err(format!("`{operator}` repeats a repetition"));
            }
            translation.out += &operator;
            translation.out.extend(translation.rest.next_if_eq(&'?'));
            is_repeated = true;
            continue;
        }
        is_repeated = false;
        match c {
            '{' | '}' | ']' => translation.literal(c),
            '[' => translation.class()?,
            '(' => translation.group()?,
            '\\' => translation.escape()?,
            _ => translation.out.push(c),
        }
    }
    Ok(translation.out)
}

struct Translation<'p> {
    rest: Peekable<Chars<'p>>,
    out: String,
}

impl Translation<'_> {
    fn literal(&mut self, c: char) {
        self.out.extend(['\\', c]);
    }

    /// Reads a repetition operator that begins with `c`, without a `?` behind it.
    fn operator(&mut self, c: char) -> Result<Option<String>, String> {
        match c {
            '*' | '+' | '?' => Ok(Some(c.to_string())),
            '{' => self.counts().map(|counts| limited(&counts)).transpose(),
            _ => Ok(None),
        }
    }

    /// Reads the rest of `{n}`, `{n,}` or `{n,m}`; any other `{` is a literal.
    fn counts(&mut self) -> Option<String> {
        /// The length of `1000,1000}`, and one more.
        const MAX_LENGTH: usize = 11;
        let rest: String = self.rest.clone().take(MAX_LENGTH).collect();
        let (counts, _) = rest.split_once('}')?;
        let (least, most) = counts.split_once(',').unwrap_or((counts, ""));
        let is_number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if least.is_empty() || !is_number(least) || !is_number(most) {
            return None;
        }
        self.skip(counts.len() + 1);
        Some(counts.to_owned())
    }

    fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.rest.next();
        }
    }

    fn group(&mut self) -> Result<(), String> {
        self.out.push('(');
        if self.rest.next_if_eq(&'?').is_some() {
            self.out.push('?');
            let flags: String = self.rest.clone().take_while(|c| c.is_ascii_alphabetic() || *c == '-').collect();
            if flags.is_empty() && self.rest.peek() == Some(&')') {
                // An empty list of flags.
                self.out.push(':');
            }
            let is_name = flags.starts_with('P') || self.rest.peek() == Some(&'<');
            if let Some(flag) = flags.chars().find(|flag| !is_name && !"imsU-".contains(*flag)) {
                return Err(format!("unknown flag `{flag}`"));
            }
        }
        Ok(())
    }

    fn escape(&mut self) -> Result<(), String> {
        match self.rest.next() {
            Some('Q') => {
                let quoted: String = self.rest.clone().collect();
                let quoted = quoted.split("\\E").next().unwrap_or_default();
                quoted.chars().for_each(|c| self.out += &format!("\\x{{{:x}}}", u32::from(c)));
                self.skip(quoted.chars().count() + "\\E".len());
            }
            Some(c @ '0'..='7') => {
                let mut digits = c.to_string();
                while let Some(digit) = self.rest.next_if(|next| digits.len() < 3 && matches!(next, '0'..='7')) {
                    digits.push(digit);
                }
                if c != '0' && digits.len() == 1 {
                    return Err(format!("backreference `\\{c}`"));
                }
                self.out += &format!("\\x{{{:x}}}", u32::from_str_radix(&digits, 8).unwrap_or_default());
            }
            Some(c @ ('u' | 'U')) => return Err(format!("unknown escape `\\{c}`")),
            Some(c @ ('<' | '>')) => self.out.push(c),
            Some(c @ ('b' | 'B')) => self.out += &format!("(?-u:\\{c})"),
            Some(c @ ('p' | 'P')) if self.rest.peek() == Some(&'{') => self.property(c),
            Some(c) => match ascii_class(c) {
                Some(class) => self.out += &format!("[{class}]"),
                None => self.out.extend(['\\', c]),
            },
            None => self.out.push('\\'),
        }
        Ok(())
    }

    /// Reads the rest of `\p{Greek}`. Go negates it by `^`, too.
    fn property(&mut self, escape: char) {
        let property: String = std::iter::from_fn(|| self.rest.next_if(|c| *c != '}')).collect();
        let (is_negated, name) = match property.strip_prefix("{^") {
            Some(name) => (escape == 'p', name),
            None => (escape == 'P', property.trim_start_matches('{')),
        };
        self.out += &format!("\\{}{{{name}", if is_negated { 'P' } else { 'p' });
        self.out.extend(self.rest.next());
    }

    fn class(&mut self) -> Result<(), String> {
        self.out.push('[');
        self.out.extend(self.rest.next_if_eq(&'^'));
        // A `]` at the beginning is a literal.
        let mut is_first = true;
        while let Some(c) = self.rest.next() {
            match c {
                ']' if !is_first => {
                    self.out.push(']');
                    break;
                }
                '[' if self.rest.peek() == Some(&':') => self.named_class()?,
                '\\' if self.rest.peek().is_some_and(|next| "dDsSwWpP".contains(*next)) => self.escape()?,
                _ => self.range(c)?,
            }
            is_first = false;
        }
        Ok(())
    }

    /// Reads the rest of `[:alpha:]`.
    fn named_class(&mut self) -> Result<(), String> {
        const NAMES: [&str; 14] = [
            "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
            "word", "xdigit",
        ];
        let class: String = std::iter::from_fn(|| self.rest.next_if(|c| *c != ']')).collect();
        let name = class.strip_prefix(':').and_then(|name| name.strip_suffix(':')).unwrap_or_default();
        if !NAMES.contains(&name.trim_start_matches('^')) {
            return Err(format!("unknown class `[{class}]`"));
        }
        self.rest.next();
        self.out += &format!("[{class}]");
        Ok(())
    }

    /// Reads one character of a class, or a range that begins with it.
    fn range(&mut self, first: char) -> Result<(), String> {
        self.class_character(first)?;
        let mut ahead = self.rest.clone();
        if ahead.next() == Some('-') && ahead.peek().is_some_and(|last| *last != ']') {
            self.rest = ahead;
            self.out.push('-');
            if let Some(last) = self.rest.next() {
                if last == '\\' && self.rest.peek().is_some_and(|next| "dDsSwWpP".contains(*next)) {
                    return Err("a range cannot end with a class".to_owned());
                }
                self.class_character(last)?;
            }
        }
        Ok(())
    }

    fn class_character(&mut self, c: char) -> Result<(), String> {
        match c {
            '\\' if self.rest.peek().is_some_and(|next| "bBAzQC".contains(*next)) => {
                Err("a class has an escape that is not a character".to_owned())
            }
            '\\' => self.escape(),
            _ if c.is_ascii_punctuation() => {
                self.literal(c);
                Ok(())
            }
            _ => {
                self.out.push(c);
                Ok(())
            }
        }
    }
}

/// Returns the content of a class that has only ASCII characters in Go.
const fn ascii_class(escape: char) -> Option<&'static str> {
    match escape {
        'd' => Some("0-9"),
        'D' => Some("^0-9"),
        's' => Some("\\t\\n\\f\\r\\x20"),
        'S' => Some("^\\t\\n\\f\\r\\x20"),
        'w' => Some("0-9A-Za-z_"),
        'W' => Some("^0-9A-Za-z_"),
        _ => None,
    }
}

/// Returns the counts of a repetition as an operator, within Go's limit.
fn limited(counts: &str) -> Result<String, String> {
    let is_small = |count: &str| count.is_empty() || count.parse().is_ok_and(|count: u32| count <= 1000);
    if counts.split(',').all(is_small) {
        Ok(format!("{{{counts}}}"))
    } else {
        Err(format!("`{{{counts}}}` is more than 1000 repetitions"))
    }
}

#[cfg(test)]
mod tests {
    use super::super::path::PathPattern;

    #[test]
    fn patterns_mean_what_they_mean_in_go() {
        // Pattern, a path with a match, and one without.
        let table = [
            ("\\.(jpg|png|css|js)$", "/a.js", "/a.js.map"),
            ("/\\Qa.b*\\E/", "/a.b*/", "/axb/"),
            ("\\Qa.b", "/a.b", "/axb"),
            ("/x{", "/x{", "/x"),
            ("/x{,2}", "/x{,2}", "/x"),
            ("/a}]", "/a}]", "/a"),
            ("^/[a&&b]$", "/&", "/c"),
            ("^/[[a]$", "/[", "/b"),
            ("^/[]a]$", "/]", "/b"),
            ("^/[^]a]$", "/b", "/]"),
            ("^/[\\w-.]+$", "/a-.b", "/a/b"),
            ("^/[[:alpha:]-_]+$", "/a-_", "/1"),
            ("^/[~a]$", "/~", "/b"),
            ("^/[+--]$", "/-", "/--"),
            ("^/[\\141-c]$", "/b", "/d"),
            ("^/[^\\W]$", "/a", "/é"),
            ("^/[\\<a]$", "/<", "/b"),
            ("^/\\p{^Greek}$", "/a", "/Ω"),
            ("^/\\P{^Greek}$", "/Ω", "/a"),
            ("(?)^/a$", "/a", "/b"),
            ("\\<a\\>", "/<a>", "/a"),
            ("^/\\141$", "/a", "/141"),
            ("^/\\x61$", "/a", "/x61"),
            ("(?i)^/API", "/api", "/ap"),
            ("(?P<name>a)$", "/a", "/b"),
            ("(?<name>a)$", "/a", "/b"),
            ("^/a{2,3}?$", "/aaa", "/a"),
            ("^/\\pL$", "/é", "/1"),
            ("^/[é]$", "/é", "/e"),
            ("^/a\\zb*", "/a", "/ab"),
            ("^/\\d+\\s?$", "/12", "/x"),
            ("^/\\w$", "/a", "/é"),
            ("^/[\\w.]$", "/a", "/é"),
            ("^/\\W$", "/é", "/a"),
            ("\\ba\\b", "/a", "/ab"),
        ];
        for (pattern, path, other) in table {
            let compiled = PathPattern::new(Some(pattern));
            assert_eq!(compiled.validate(), Ok(()), "{pattern}");
            assert!(compiled.is_match(path) && !compiled.is_match(other), "{pattern}");
        }
    }

    #[test]
    fn patterns_that_go_rejects_are_invalid() {
        let invalid = [
            "*/x",
            "(",
            ")",
            "[a",
            "a**",
            "a{2}{3}",
            "a*+",
            "x{1001}",
            "(?=a)",
            "(?!a)",
            "(?<=a)",
            "\\1",
            "(?x)a b",
            "(?R)a",
            "\\u0061",
            "[a--b]",
            "[[:foo:]]",
            "[a-\\d]",
            "[\\b]",
            "a|*",
            "\\",
            "[b-a]",
            "(?P<a",
            "x{3,2}",
        ];
        for pattern in invalid {
            assert!(PathPattern::new(Some(pattern)).validate().is_err(), "{pattern}");
        }
    }
}
