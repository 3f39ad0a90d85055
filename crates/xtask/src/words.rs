//! Prose and layout of the sources: forbidden words, long lines, long files, unknown test cases.
//!
//! `words.txt` lists the words with their replacements. They are searched in comments, string
//! literals and test names of Rust, and in whole lines of other files. Text in backticks is code.

mod lines;
mod patterns;

use std::collections::BTreeSet;

use lines::{Language, Layout, Line};
use patterns::Patterns;

use crate::failure::Failure;
use crate::process::{announce, capture};
use crate::workspace::Workspace;

const PATTERNS: &str = "crates/xtask/words.txt";
const TEST_CASES: &str = "docs/test-cases.md";
const PROSE_WIDTH: usize = 100;
const FILE_LENGTH: usize = 400;
/// Standards whose names look like the ID of a test case.
const STANDARDS: [&str; 4] = ["CRC", "ISO", "SHA", "UTF"];

/// What every file is compared with.
struct Rules {
    patterns: Patterns,
    code_width: usize,
    /// The IDs that the catalogue lists; `None` without a catalogue.
    test_cases: Option<BTreeSet<String>>,
}

/// Prints every finding as `file:line: word: suggestion`, and fails if there is one. With a filter,
/// only files with one of its strings in their path are checked.
pub(crate) fn check(workspace: &Workspace, filter: &[String]) -> Result<(), Failure> {
    let rules = Rules {
        patterns: Patterns::parse(&workspace.read(PATTERNS)?)?,
        code_width: code_width(&workspace.read("rustfmt.toml")?)?,
        test_cases: workspace.read(TEST_CASES).ok().map(|catalogue| test_cases(&catalogue).collect()),
    };
    let files = capture(&mut workspace.git(&["ls-files", "*.rs", "*.md", "*.yaml", "*.toml", "*.mjs"]))?;
    let is_selected = |file: &&str| filter.is_empty() || filter.iter().any(|part| file.contains(part.as_str()));
    let (mut findings, mut dirty, mut checked) = (0, 0, 0);
    for file in files.lines().filter(is_selected).filter(|file| workspace.root().join(file).is_file()) {
        checked += 1;
        let found = rules.findings(file, &workspace.read(file)?);
        found.iter().for_each(|(line, finding)| println!("{file}:{line}: {finding}"));
        findings += found.len();
        dirty += usize::from(!found.is_empty());
    }
    if findings > 0 {
        return Err(Failure::new(format!("{findings} findings in {dirty} of {checked} files"))
            .hint(format!("reword the sentence; `allow:` in {PATTERNS} is for names of other projects")));
    }
    announce(&format!("{checked} files"));
    Ok(())
}

impl Rules {
    /// Returns the findings of one file with their lines.
    fn findings(&self, file: &str, source: &str) -> Vec<(usize, String)> {
        let Some(language) = Language::of(file) else { return Vec::new() };
        let lines = lines::read(source, language);
        let mut findings = Vec::new();
        for (index, line) in lines.iter().enumerate() {
            // A phrase may go on in the next line.
            let next = lines.get(index + 1).map_or("", |next| next.prose.as_str());
            let number = index + 1;
            findings.extend(self.patterns.matches(&line.prose, next).into_iter().map(|finding| (number, finding)));
            findings.extend(self.too_long(line, language).map(|finding| (number, finding)));
            findings.extend(self.unlisted(&line.prose).map(|finding| (number, finding)));
        }
        if language == Language::Rust && lines.len() > FILE_LENGTH {
            findings.push((lines.len(), format!("{} lines: split the file, at most {FILE_LENGTH}", lines.len())));
        }
        findings
    }

    fn too_long(&self, line: &Line, language: Language) -> Option<String> {
        let most = match line.layout {
            Layout::Prose => PROSE_WIDTH,
            Layout::Code if language == Language::Rust => self.code_width,
            Layout::Code | Layout::Verbatim => return None,
        };
        (line.width > most).then(|| format!("{} columns: wrap it, at most {most}", line.width))
    }

    fn unlisted<'a>(&'a self, prose: &'a str) -> impl Iterator<Item = String> + 'a {
        let unlisted = |id: &String| self.test_cases.as_ref().is_some_and(|cases| !cases.contains(id));
        test_cases(prose).filter(unlisted).map(|id| format!("{id}: list it in {TEST_CASES}, or drop it"))
    }
}

/// Returns the IDs of test cases in a string: `CFG-09`, and `cfg_09_` where a test name begins.
fn test_cases(text: &str) -> impl Iterator<Item = String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').filter_map(|word| {
        let (family, number) = match word.split_once('-') {
            Some(id) => id,
            None => {
                let (family, rest) = word.split_once('_')?;
                (family, rest.split_once('_')?.0)
            }
        };
        let same_case = |c: char| if word.contains('-') { c.is_ascii_uppercase() } else { c.is_ascii_lowercase() };
        let is_id = (2..=4).contains(&family.len())
            && family.chars().all(same_case)
            && number.len() == 2
            && number.bytes().all(|digit| digit.is_ascii_digit());
        let family = family.to_ascii_uppercase();
        (is_id && !STANDARDS.contains(&family.as_str())).then(|| format!("{family}-{number}"))
    })
}

fn code_width(rustfmt: &str) -> Result<usize, Failure> {
    rustfmt
        .lines()
        .find_map(|line| line.strip_prefix("max_width = ")?.parse().ok())
        .ok_or_else(|| Failure::new("rustfmt.toml sets no max_width"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(file: &str, source: &str) -> Vec<String> {
        let rules = Rules {
            patterns: Patterns::parse("foo: bar\nold phrase: new one\n").unwrap(),
            code_width: 120,
            test_cases: Some(test_cases("| HC-05 | CFG-09 |").collect()),
        };
        rules.findings(file, source).into_iter().map(|(line, finding)| format!("{line}: {finding}")).collect()
    }

    #[test]
    fn words_are_found_in_comments_strings_and_test_names() {
        let source = "\
// Foo waits.
fn foo() { print(\"foo\") }
#[test]
fn foo_waits() {}
/// An old
/// phrase.
";
        let expected = ["1: foo: bar", "2: foo: bar", "4: foo: bar", "5: old phrase: new one"];
        assert_eq!(findings("a.rs", source), expected);
    }

    #[test]
    fn lines_and_files_have_a_limit() {
        let comment = format!("// a{}", " a".repeat(48));
        assert_eq!(findings("a.rs", &format!("{comment}\n{comment} b")), ["2: 102 columns: wrap it, at most 100"]);
        let table = format!("| {} |\n", "é ".repeat(60));
        assert_eq!(findings("a.md", &table), [""; 0]);
        assert_eq!(findings("a.rs", &"a".repeat(121)), ["1: 121 columns: wrap it, at most 120"]);
        assert_eq!(findings("a.rs", &"a\n".repeat(401)), ["401: 401 lines: split the file, at most 400"]);
    }

    #[test]
    fn test_cases_have_to_be_listed() {
        let source =
            "// HC-05, HC-06 and UTF-16; a-10.\n#[test]\nfn cfg_13_is_new() {}\n#[test]\nfn cfg_09_is_old() {}";
        let hint = "list it in docs/test-cases.md, or drop it";
        assert_eq!(findings("a.rs", source), [format!("1: HC-06: {hint}"), format!("3: CFG-13: {hint}")]);
    }

    #[test]
    fn the_width_of_code_is_that_of_rustfmt() {
        assert_eq!(code_width("edition = 1\nmax_width = 120\n").unwrap(), 120);
        assert!(code_width("").is_err());
    }
}
