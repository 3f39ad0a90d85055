//! The lines of a file, and positions in it, as the YAML library counts them.

/// A position in the text. Line and column are counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) line: usize,
    pub(crate) column: usize,
}

/// The position of the first character.
pub(crate) const START: Position = Position { line: 1, column: 1 };

pub(crate) const BYTE_ORDER_MARK: char = '\u{feff}';

/// The characters that end a line.
pub(crate) const BREAKS: [char; 5] = ['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}'];

/// The lines of a file. YAML also breaks lines at U+0085, U+2028 and U+2029.
#[derive(Clone, Debug)]
pub(crate) struct Lines<'a>(Vec<&'a str>);

impl<'a> Lines<'a> {
    /// Splits `text` into lines.
    pub(crate) fn new(text: &'a str) -> Self {
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let parts = text.split_inclusive(BREAKS);
        let lines = parts.scan(false, |after_return, part| {
            let is_its_rest = std::mem::replace(after_return, part.ends_with('\r')) && part == "\n";
            Some((!is_its_rest).then(|| part.trim_end_matches(BREAKS)))
        });
        Self(lines.flatten().collect())
    }

    /// Returns the line with this number, counted from 1, or an empty string.
    pub(crate) fn line(&self, number: usize) -> &'a str {
        number.checked_sub(1).and_then(|index| self.0.get(index)).copied().unwrap_or_default()
    }
}

/// Returns the position of the byte `index`.
pub(crate) fn position_of(text: &str, index: usize) -> Position {
    let before = text.get(..index).unwrap_or_default();
    let column = before.rsplit(BREAKS).next().unwrap_or_default().chars().count() + 1;
    let breaks = before.matches(BREAKS).count() - before.matches("\r\n").count();
    Position { line: breaks + 1, column }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::yaml;

    #[test]
    fn lines_are_those_of_the_library() {
        let text = "a: 1\r\nb: 2\n\nc: 3\rd: 4\u{85}e: 5\u{2028}f: 6";
        let lines = Lines::new(text);
        let root = yaml::read(text).unwrap();
        let crate::node::Value::Map(entries) = &root.value else { panic!("{root:?}") };
        let ids = entries.iter().map(|(key, _)| key.id);
        let positions = yaml::positions(text, ids.clone());
        let found: Vec<&str> = ids.map(|id| lines.line(positions.get(id).unwrap().line)).collect();
        assert_eq!(found, ["a: 1", "b: 2", "c: 3", "d: 4", "e: 5", "f: 6"]);
        assert_eq!((lines.line(0), lines.line(3), lines.line(99)), ("", "", ""));
    }
}
