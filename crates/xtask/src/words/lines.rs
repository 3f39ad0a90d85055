//! Splits a source file into lines with their prose: comments, string literals and test names.

/// How a file is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Rust,
    Markdown,
    /// YAML, TOML and JavaScript: every word counts.
    Other,
}

/// Which limit a line has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// A comment or a line of Markdown.
    Prose,
    Code,
    /// A table, a line with a URL, or a line in a code fence.
    Verbatim,
}

#[derive(Debug)]
pub(super) struct Line {
    pub(super) prose: String,
    pub(super) layout: Layout,
    /// The number of characters.
    pub(super) width: usize,
}

impl Language {
    /// Returns the language of a file by its extension.
    pub(super) fn of(file: &str) -> Option<Self> {
        match file.rsplit_once('.')?.1 {
            "rs" => Some(Self::Rust),
            "md" => Some(Self::Markdown),
            "yaml" | "toml" | "mjs" => Some(Self::Other),
            _ => None,
        }
    }
}

/// Returns the lines of a file.
pub(super) fn read(source: &str, language: Language) -> Vec<Line> {
    let prose = match language {
        Language::Rust => rust_prose(source),
        Language::Markdown | Language::Other => source.lines().map(str::to_owned).collect(),
    };
    let mut is_fenced = false;
    let line = |(line, prose): (&str, String)| {
        let trimmed = line.trim_start();
        let comment = ["//", "#"].iter().find(|mark| trimmed.starts_with(*mark));
        let content = match language {
            Language::Markdown => Some(trimmed),
            Language::Rust => trimmed.strip_prefix("//").map(|rest| rest.trim_start_matches(['/', '!']).trim_start()),
            Language::Other => comment.map(|mark| trimmed.trim_start_matches(mark).trim_start()),
        };
        let layout = match content {
            None => Layout::Code,
            Some(content) => {
                let is_edge = content.starts_with("```");
                is_fenced ^= is_edge;
                let is_verbatim = is_fenced || is_edge || content.starts_with('|') || content.contains("://");
                if is_verbatim { Layout::Verbatim } else { Layout::Prose }
            }
        };
        // Backticks are code in prose, and strings in JavaScript.
        let is_script = language == Language::Other && layout == Layout::Code;
        let prose = if is_script { prose.replace('`', " ") } else { prose };
        Line { prose, layout, width: line.chars().count() }
    };
    source.lines().zip(prose).map(line).collect()
}

/// Where the scanner of Rust is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Code,
    LineComment,
    BlockComment,
    String,
    /// A raw string, with the number of its `#`.
    Raw(usize),
}

/// Returns the prose of each line of a Rust file.
fn rust_prose(source: &str) -> Vec<String> {
    let mut state = State::Code;
    let (mut is_test, mut is_in_cases) = (false, false);
    let mut lines = Vec::new();
    for line in source.lines() {
        let mut prose = String::new();
        if state == State::Code {
            // The conformance suite lists its tests in a macro.
            is_in_cases |= line.starts_with("cases![");
            if is_in_cases {
                prose.push_str(line.split('"').next().unwrap_or_default());
                is_in_cases = !line.contains("];");
            }
            let attribute = line.trim_start().strip_prefix("#[").filter(|attribute| !attribute.starts_with("cfg"));
            is_test |= attribute.is_some_and(|attribute| attribute.contains("test]") || attribute.contains("test("));
            if let Some((_, rest)) = line.split_once("fn ").filter(|_| is_test) {
                prose.push_str(rest.split(['(', '<']).next().unwrap_or_default());
                prose.push(' ');
                is_test = false;
            }
        }
        state = scan(line, state, &mut prose);
        lines.push(prose);
    }
    lines
}

/// Appends the prose of a line, and returns the state at its end.
fn scan(line: &str, mut state: State, prose: &mut String) -> State {
    let mut rest = line;
    while let Some(c) = rest.chars().next() {
        let (next, taken) = match state {
            State::Code => code(rest),
            State::LineComment => (state, rest.len()),
            State::BlockComment if rest.starts_with("*/") => (State::Code, 2),
            State::String if c == '"' => (State::Code, 1),
            State::String if c == '\\' => {
                prose.push(' ');
                (state, 1 + rest.chars().nth(1).map_or(0, char::len_utf8))
            }
            State::Raw(hashes) if rest.starts_with(&format!("\"{}", "#".repeat(hashes))) => (State::Code, 1 + hashes),
            State::BlockComment | State::String | State::Raw(_) => (state, c.len_utf8()),
        };
        let (part, after) = rest.split_at(taken);
        if state != State::Code && next == state && !part.starts_with('\\') {
            prose.push_str(part);
        } else if next != state {
            prose.push(' ');
        }
        (state, rest) = (next, after);
    }
    if state == State::LineComment { State::Code } else { state }
}

/// Returns the state after the next piece of code, and its length.
fn code(rest: &str) -> (State, usize) {
    if rest.starts_with("//") {
        return (State::LineComment, 2);
    }
    if rest.starts_with("/*") {
        return (State::BlockComment, 2);
    }
    if let Some(raw) = ["r", "br", "cr"].iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        if raw[hashes..].starts_with('"') {
            return (State::Raw(hashes), rest.len() - raw.len() + hashes + 1);
        }
    }
    if rest.starts_with('"') {
        return (State::String, 1);
    }
    // A character such as '"' or '\''; a lifetime has no second quote.
    if let Some(character) = rest.strip_prefix('\'') {
        let escaped = usize::from(character.starts_with('\\'));
        let length: usize = character.chars().take(1 + escaped).map(char::len_utf8).sum();
        if character[length..].starts_with('\'') {
            return (State::Code, length + 2);
        }
    }
    // A name as a whole, so that its last `r` begins no raw string.
    let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
    (State::Code, name.max(rest.chars().next().map_or(1, char::len_utf8)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prose(source: &str) -> Vec<String> {
        rust_prose(source).iter().map(|prose| prose.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
    }

    #[test]
    fn prose_is_comments_strings_and_test_names() {
        let source = "\
let a = 'x'; // one
f(\"two \\\"three\\\"\\n\", '\"', r#\"four \"# , 'l);
/* five
six */ code
let for_r = \"seven
  eight\";
#[tokio::test(flavor = 1)]
async fn nine_ten() { eleven() }
fn twelve() {}
#[cfg(test)]
fn thirteen() {}
cases![
    fourteen,
];";
        let expected = ["one", "two three four", "five", "six", "seven", "eight", "", "nine_ten", "", "", ""];
        let cases = ["cases![", "fourteen,", "];"];
        assert_eq!(prose(source), [&expected[..], &cases].concat());
    }

    #[test]
    fn layouts_follow_the_language() {
        let layouts = |source, language| read(source, language).iter().map(|line| line.layout).collect::<Vec<_>>();
        use Layout::{Code, Prose, Verbatim};
        let rust = "//! a\n/// ```\n/// b\n/// ```\n// see https://example.com\nlet a = 1;";
        assert_eq!(layouts(rust, Language::Rust), [Prose, Verbatim, Verbatim, Verbatim, Verbatim, Code]);
        assert_eq!(
            layouts("a\n| b |\n```\n# c\n```\nd", Language::Markdown),
            [Prose, Verbatim, Verbatim, Verbatim, Verbatim, Prose]
        );
        assert_eq!(layouts("# a\nb: c # d\n// e", Language::Other), [Prose, Code, Prose]);
    }
}
