//! The list of forbidden words.

use std::collections::HashMap;

use crate::failure::Failure;

/// Forbidden words and phrases, and phrases that may contain them.
#[derive(Debug)]
pub(super) struct Patterns {
    /// By their first words.
    forbidden: HashMap<String, Vec<Pattern>>,
    allowed: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Pattern {
    words: Vec<String>,
    suggestion: String,
}

impl Patterns {
    /// Reads lines of the form `word, another phrase: suggestion` and `allow: phrase`.
    pub(super) fn parse(list: &str) -> Result<Self, Failure> {
        let mut patterns = Self { forbidden: HashMap::new(), allowed: Vec::new() };
        for line in list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let (names, suggestion) =
                line.split_once(": ").ok_or_else(|| Failure::new(format!("words.txt: missing `: ` in `{line}`")))?;
            if names == "allow" {
                patterns.allowed.push(words(suggestion).collect());
            } else {
                for name in names.split(", ") {
                    let words: Vec<String> = words(name).collect();
                    let first = words.first().cloned().unwrap_or_default();
                    let pattern = Pattern { words, suggestion: suggestion.to_owned() };
                    patterns.forbidden.entry(first).or_default().push(pattern);
                }
            }
        }
        Ok(patterns)
    }

    /// Returns the forbidden phrases that begin in a line, as `phrase: suggestion`.
    pub(super) fn matches(&self, line: &str, next_line: &str) -> Vec<String> {
        let mut text: Vec<String> = words(line).collect();
        let length = text.len();
        text.extend(words(next_line));
        for allowed in &self.allowed {
            for place in 0..text.len() {
                if text[place..].starts_with(allowed) {
                    text[place..][..allowed.len()].iter_mut().for_each(String::clear);
                }
            }
        }
        let at = |place: usize| {
            let patterns = self.forbidden.get(&text[place]).map_or(&[][..], Vec::as_slice);
            let found = patterns.iter().filter(|pattern| text[place..].starts_with(&pattern.words));
            found.map(|pattern| format!("{}: {}", pattern.words.join(" "), pattern.suggestion)).collect::<Vec<_>>()
        };
        (0..length).flat_map(at).collect()
    }
}

/// Returns the words of a line in lower case. Text in backticks is code and counts as one unknown
/// word.
fn words(line: &str) -> impl Iterator<Item = String> {
    line.split('`').enumerate().flat_map(|(index, part)| {
        let part = if index % 2 == 0 { part } else { "" };
        let words = part.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty());
        let code = (index % 2 == 1).then(String::new);
        words.map(str::to_lowercase).chain(code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(line: &str, next_line: &str) -> Vec<String> {
        let list = "# comment\n\nfoo, foos: bar\nold phrase: new one\nallow: foo fighters\n";
        Patterns::parse(list).unwrap().matches(line, next_line)
    }

    #[test]
    fn whole_words_match_in_any_case() {
        assert_eq!(matches("Foo, foos and is_foo", ""), ["foo: bar", "foos: bar", "foo: bar"]);
        assert_eq!(matches("food, afoo", ""), [""; 0]);
    }

    #[test]
    fn phrases_match_across_lines_and_once() {
        assert_eq!(matches("it is an old", "phrase. Foo?"), ["old phrase: new one"]);
        assert_eq!(matches("an", "old phrase"), [""; 0]);
    }

    #[test]
    fn code_and_allowed_phrases_do_not_match() {
        assert_eq!(matches("`foo` an old `x` phrase, Foo Fighters", ""), [""; 0]);
    }

    #[test]
    fn a_line_without_a_suggestion_is_an_error() {
        let error = Patterns::parse("foo").unwrap_err().to_string();
        assert_eq!(error, "error: words.txt: missing `: ` in `foo`");
    }
}
