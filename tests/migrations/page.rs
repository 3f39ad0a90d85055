//! The pages of `docs/migrate`: their numbered steps, and the blocks of each.

use std::fs;
use std::path::{Path, PathBuf};

/// A page.
pub(crate) struct Page {
    path: PathBuf,
    /// The blocks before the first step.
    pub(crate) before: Vec<Block>,
    pub(crate) steps: Vec<Step>,
}

/// A numbered section.
pub(crate) struct Step {
    pub(crate) title: String,
    pub(crate) forward: Vec<Block>,
    /// The blocks below "To go back".
    pub(crate) back: Vec<Block>,
}

/// A fenced block.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub(crate) language: String,
    pub(crate) text: String,
    /// The page and the line of its start.
    pub(crate) place: String,
}

impl Page {
    /// Reads a page of `docs/migrate`.
    pub(crate) fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/migrate").join(name);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut page = Self { path, before: Vec::new(), steps: Vec::new() };
        page.parse(name, &text);
        assert!(page.steps.len() >= 3, "{} has {} steps", page.path.display(), page.steps.len());
        page
    }

    fn parse(&mut self, name: &str, text: &str) {
        let (mut open, mut goes_back, mut is_step): (Option<Block>, bool, bool) = (None, false, false);
        for (index, line) in text.lines().enumerate() {
            match (line.strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => {
                    let block = open.take().expect("an open block");
                    match self.steps.last_mut() {
                        Some(step) if is_step && goes_back => step.back.push(block),
                        Some(step) if is_step => step.forward.push(block),
                        Some(_) => {}
                        None => self.before.push(block),
                    }
                }
                (Some(language), None) => {
                    let place = format!("{name}:{}", index + 2);
                    open = Some(Block { language: language.to_owned(), text: String::new(), place });
                }
                (None, Some(block)) => block.text += &format!("{line}\n"),
                (None, None) => {
                    if let Some(title) = line.strip_prefix("## ") {
                        (goes_back, is_step) = (false, title.starts_with(|first: char| first.is_ascii_digit()));
                        if is_step {
                            let title = title.to_owned();
                            self.steps.push(Step { title, forward: Vec::new(), back: Vec::new() });
                        }
                    }
                    goes_back |= line.starts_with("**To go back");
                }
            }
        }
    }
}

impl Block {
    /// Returns the commands of a `console` block, each with the output that the page shows.
    pub(crate) fn commands(&self) -> Vec<(&str, Vec<&str>)> {
        let mut commands: Vec<(&str, Vec<&str>)> = Vec::new();
        for line in self.text.lines() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => commands.push((command, Vec::new())),
                (None, Some((_, output))) => output.push(line),
                (None, None) => panic!("{}: output without a command", self.place),
            }
        }
        commands
    }

    /// Returns the file of a block whose first line is a comment with its path.
    pub(crate) fn file(&self) -> Option<&str> {
        let first = self.text.lines().next()?;
        let path = first.strip_prefix("# ").or_else(|| first.strip_prefix("// "))?;
        (!path.contains(' ')).then_some(path)
    }

    /// Applies a `diff` block with one group of lines. Returns the name of the file, and its new
    /// content.
    pub(crate) fn apply(&self, read: impl Fn(&str) -> String) -> (String, String) {
        let mut lines = self.text.lines();
        let name = lines.next().and_then(|line| line.strip_prefix("--- ")).expect("the line `--- FILE`");
        assert_eq!(lines.next(), Some(format!("+++ {name}").as_str()), "{}", self.place);
        let (mut old, mut new) = (String::new(), String::new());
        for line in lines {
            let (sign, rest) = line.split_at_checked(1).unwrap_or((" ", ""));
            assert!([" ", "-", "+"].contains(&sign), "{}: {line}", self.place);
            old += &if sign == "+" { String::new() } else { format!("{rest}\n") };
            new += &if sign == "-" { String::new() } else { format!("{rest}\n") };
        }
        let text = read(name);
        assert_eq!(text.matches(&old).count(), 1, "{}: {name} does not have these lines once:\n{text}", self.place);
        (name.to_owned(), text.replacen(&old, &new, 1))
    }
}

/// Returns whether an output is the one that a page shows. A line `...` stands for any number of
/// lines. Durations and the width of columns are not compared.
pub(crate) fn matches(shown: &[&str], printed: &[&str]) -> bool {
    match shown {
        [] => printed.is_empty(),
        ["...", rest @ ..] => (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..])),
        [line, rest @ ..] => {
            printed.split_first().is_some_and(|(first, after)| same(first, line) && matches(rest, after))
        }
    }
}

fn same(printed: &str, shown: &str) -> bool {
    words(printed) == words(shown)
}

/// Returns the words of a line, without the numbers before `ms`.
fn words(line: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    for word in line.split_whitespace() {
        let is_number = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
        match word.trim_end_matches(',').strip_suffix("ms") {
            Some("") if words.last().is_some_and(|last| is_number(last)) => {
                words.pop();
            }
            Some(number) if is_number(number) => {}
            _ => {
                words.push(word.to_owned());
                continue;
            }
        }
        words.push("(ms)".to_owned());
    }
    words
}

#[test]
fn outputs_are_compared_without_durations() {
    assert!(matches(&["a  12 ms  ok", "..."], &["a 3 ms ok", "b"]));
    assert!(matches(&["200 in 12ms, ok"], &["200 in 7ms, ok"]));
    assert!(!matches(&["a 12 ms ok"], &["a 12 ms failed"]));
    assert!(!matches(&["a"], &["a", "b"]));
}

#[test]
fn a_diff_has_to_match_once() {
    let block = |text: &str| Block { language: "diff".to_owned(), text: text.to_owned(), place: "x.md:1".to_owned() };
    let diff = block("--- a.yml\n+++ a.yml\n one\n-two\n+2\n");
    assert_eq!(diff.apply(|_| "zero\none\ntwo\n".to_owned()), ("a.yml".to_owned(), "zero\none\n2\n".to_owned()));
    assert!(std::panic::catch_unwind(|| diff.apply(|_| "one\n".to_owned())).is_err());
}
