//! The blocks of a quick start, as one script.

use std::fs;
use std::path::Path;

use crate::machine::Machine;

/// Separates the outputs of blocks.
const SEPARATOR: &str = "\u{1}";

/// A page as a script for `sh`, with the outputs that it shows.
pub(crate) struct Page {
    name: String,
    /// Writes the files and runs the commands, in the order of the page.
    pub(crate) script: String,
    shown: Vec<String>,
}

impl Page {
    /// Reads a file, or with `FILE#HEADING` one of its sections. Its addresses are replaced by
    /// those of a machine.
    pub(crate) fn read(name: &str, machine: &Machine) -> Self {
        let (file, heading) = name.split_once('#').unwrap_or((name, ""));
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let replaced = machine.replace(if heading.is_empty() { &text } else { section(&text, heading) });
        let mut page = Self { name: name.to_owned(), script: "set -eu\n".to_owned(), shown: Vec::new() };
        // The paragraph before a block may name its file.
        let mut before = "";
        for (index, part) in replaced.split("\n```").enumerate() {
            let (language, text) = part.split_once('\n').unwrap_or((part, ""));
            match (index % 2, language) {
                (0, _) => before = part,
                (_, "sh") => page.run(text),
                (_, "console") => page.type_in(text),
                (_, "text") => page.shown.last_mut().expect("a command before an output").push_str(text),
                (_, "yaml" | "toml" | "rust") => page.write(before, text),
                _ => panic!("{name}: a block of the language {language:?}"),
            }
        }
        assert!(page.shown.len() >= 3, "{name} has {} blocks of commands", page.shown.len());
        page
    }

    /// Panics unless the script printed what the page shows.
    pub(crate) fn assert_output(&self, printed: &str) {
        let printed: Vec<&str> = printed.split(SEPARATOR).collect();
        assert_eq!(printed.len(), self.shown.len() + 1, "{}: blocks that ran", self.name);
        for (shown, printed) in self.shown.iter().zip(printed).filter(|(shown, _)| !shown.is_empty()) {
            let is_equal = matches(&shown.lines().collect::<Vec<_>>(), &printed.lines().collect::<Vec<_>>());
            assert!(is_equal, "{} shows\n{shown}\nbut the commands print\n{printed}", self.name);
        }
    }

    fn run(&mut self, commands: &str) {
        self.script += &format!("{commands}\nprintf '\\001'\n");
        self.shown.push(String::new());
    }

    /// Runs the lines with a prompt. The lines below are the output.
    fn type_in(&mut self, session: &str) {
        for line in session.lines() {
            match (line.strip_prefix("$ "), self.shown.last_mut()) {
                (Some(command), _) => self.run(command),
                (None, Some(output)) => *output += &format!("{line}\n"),
                (None, None) => panic!("{}: an output before a command: {line}", self.name),
            }
        }
    }

    /// Writes the file whose name in backticks ends the paragraph before the block.
    fn write(&mut self, before: &str, text: &str) {
        let name = before.trim_end().strip_suffix("`:").and_then(|before| before.rsplit_once('`'));
        let (_, file) = name.unwrap_or_else(|| panic!("{}: no name of a file before\n{text}", self.name));
        self.script += &format!("cat > '{file}' <<'END OF FILE'\n{text}\nEND OF FILE\n");
    }
}

/// Returns the part of a file below a heading of the second level.
fn section<'t>(text: &'t str, heading: &str) -> &'t str {
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}"));
    section.split("\n## ").next().unwrap_or(section)
}

/// Compares lines. `...` stands for any number of lines, and within a line for any text.
fn matches(shown: &[&str], printed: &[&str]) -> bool {
    match shown {
        [] => printed.is_empty(),
        ["...", rest @ ..] => (0..=printed.len()).any(|skipped| matches(rest, &printed[skipped..])),
        [line, rest @ ..] => {
            printed.split_first().is_some_and(|(first, after)| line_matches(line, first) && matches(rest, after))
        }
    }
}

fn line_matches(shown: &str, printed: &str) -> bool {
    match shown.split_once("...") {
        None => shown.trim_end() == printed.trim_end(),
        Some((start, rest)) => printed.strip_prefix(start).is_some_and(|printed| {
            rest.is_empty()
                || (0..=printed.len()).any(|at| printed.get(at..).is_some_and(|tail| line_matches(rest, tail)))
        }),
    }
}

#[test]
fn outputs_are_compared_by_line() {
    assert!(matches(&["a ... c", "...", "d"], &["a b c", "x", "y", "d"]));
    assert!(!matches(&["a ... c"], &["a b d"]));
    assert!(!matches(&["a"], &["a", "b"]));
}
