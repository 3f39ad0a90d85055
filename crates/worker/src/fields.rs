//! The header fields of a message, as values of the core.

use std::convert::Infallible;
use std::rc::Rc;

use tunnel_balancer_core::headers::HeaderFields;

/// Header fields that were read at once, and their changes, which JavaScript applies at once.
///
/// Cheap to clone: each attempt changes a copy. All lines are in two strings, because an allocation
/// costs more than a search in all lines.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    /// The lines of the message, as `js/glue.js` writes them.
    text: Rc<str>,
    read: Vec<Read>,
    /// The lines that were added, in the same form.
    new: String,
    added: Vec<Added>,
}

/// A line of the message.
#[derive(Clone, Copy, Debug)]
struct Read {
    line: Line,
    is_removed: bool,
}

/// A line that was added.
#[derive(Clone, Copy, Debug)]
struct Added {
    line: Line,
    /// Whether it replaces the lines of the message.
    replaces: bool,
}

/// The place of a name, a line break, and a value in a string.
#[derive(Clone, Copy, Debug)]
struct Line {
    start: usize,
    /// The place of the line break.
    middle: usize,
    end: usize,
}

impl Fields {
    /// The number of lines for which there is space at first.
    const USUAL: usize = 16;

    /// Reads the lines that `js/glue.js` writes. JavaScript has names in lower case, keeps the
    /// lines of `Set-Cookie` separate, and joins all others. The letter case of other names is
    /// ignored, as in JavaScript.
    pub(crate) fn new(text: &str) -> Self {
        let mut read = Vec::with_capacity(Self::USUAL);
        let (mut start, mut middle) = (0, None);
        for (at, _) in text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n') {
            match middle.take() {
                None => middle = Some(at),
                Some(middle) => {
                    read.push(Read { line: Line { start, middle, end: at }, is_removed: false });
                    start = at + 1;
                }
            }
        }
        Self { text: text.into(), read, ..Self::default() }
    }

    /// Returns the value of a field, or that of its first line. Only `Set-Cookie` has several.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// Returns the changes in the form that `js/glue.js` reads. A field whose value stays the same
    /// is not changed.
    pub(crate) fn changes(&self) -> String {
        let mut changes = String::with_capacity(self.new.len() + 64);
        let mut change = |parts: [&str; 3]| parts.iter().for_each(|part| changes.extend([part, "\n"]));
        for name in self.removed().map(|line| line.name(&self.text)) {
            if !self.added.iter().any(|added| added.replaces && added.line.has_name(name, &self.new)) {
                change(["-", name, ""]);
            }
        }
        for Added { line, replaces } in &self.added {
            let (name, value) = (line.name(&self.new), line.value(&self.new));
            if !*replaces {
                change(["+", name, value]);
            } else if !self.is_unchanged(name, value) {
                change(["=", name, value]);
            }
        }
        changes
    }

    /// Returns whether a field of one line had this value, and has it again.
    fn is_unchanged(&self, name: &str, value: &str) -> bool {
        let mut old = self.removed().filter(|line| line.has_name(name, &self.text));
        let is_same = old.next().is_some_and(|line| line.value(&self.text) == value);
        is_same && old.next().is_none() && self.values(name).nth(1).is_none()
    }

    fn removed(&self) -> impl Iterator<Item = &Line> {
        self.read.iter().filter(|read| read.is_removed).map(|read| &read.line)
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let read = self.read.iter().filter(move |read| !read.is_removed && read.line.has_name(name, &self.text));
        let added = self.added.iter().filter(move |added| added.line.has_name(name, &self.new));
        read.map(|read| read.line.value(&self.text)).chain(added.map(|added| added.line.value(&self.new)))
    }

    fn add(&mut self, name: &str, value: &str, replaces: bool) {
        // A line break would end the value. JavaScript rejects a return, as other invalid values.
        let value = if value.contains('\n') { "\r" } else { value };
        let start = self.new.len();
        self.new.extend([name, "\n", value]);
        let line = Line { start, middle: start + name.len(), end: self.new.len() };
        self.added.push(Added { line, replaces });
    }
}

impl Line {
    /// Returns the name in the string that the line is a part of.
    fn name<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start..self.middle).unwrap_or_default()
    }

    fn has_name(&self, name: &str, text: &str) -> bool {
        self.middle - self.start == name.len() && self.name(text).eq_ignore_ascii_case(name)
    }

    fn value<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.middle + 1..self.end).unwrap_or_default()
    }
}

impl HeaderFields for Fields {
    type Error = Infallible;

    fn get(&self, name: &str) -> Result<Option<String>, Infallible> {
        let mut values = self.values(name);
        let first = values.next().map(str::to_owned);
        Ok(first.map(|first| values.fold(first, |joined, value| joined + ", " + value)))
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), Infallible> {
        self.remove(name)?;
        self.add(name, value, true);
        Ok(())
    }

    fn append(&mut self, name: &str, value: &str) -> Result<(), Infallible> {
        self.add(name, value, false);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), Infallible> {
        self.remove_if(|present| present.eq_ignore_ascii_case(name))
    }

    fn remove_if(&mut self, is_removed: impl Fn(&str) -> bool) -> Result<(), Infallible> {
        self.added.retain(|added| !is_removed(added.line.name(&self.new)));
        for read in self.read.iter_mut().filter(|read| !read.is_removed) {
            read.is_removed = is_removed(read.line.name(&self.text));
        }
        Ok(())
    }

    fn rewrite(&mut self, name: &str, new: impl Fn(&str) -> Option<String>) -> Result<(), Infallible> {
        let rewritten: Vec<Option<String>> = self.values(name).map(new).collect();
        if rewritten.iter().all(Option::is_none) {
            return Ok(());
        }
        let old: Vec<String> = self.values(name).map(str::to_owned).collect();
        self.remove(name)?;
        for (index, (old, new)) in old.into_iter().zip(rewritten).enumerate() {
            self.add(name, &new.unwrap_or(old), index == 0);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "accept\ntext/html\nset-cookie\na=1\nset-cookie\nb=2\nte\ntrailers\n";

    /// Returns the changes that `edit` makes.
    fn changes(edit: impl FnOnce(&mut Fields)) -> String {
        let mut fields = Fields::new(TEXT);
        edit(&mut fields);
        fields.changes().replace('\n', " ")
    }

    fn ok<T>(result: Result<T, Infallible>) -> T {
        let Ok(value) = result;
        value
    }

    #[test]
    fn reads_the_lines() {
        let fields = Fields::new(TEXT);
        assert_eq!(fields.value("accept"), Some("text/html"));
        assert_eq!(ok(fields.get("set-cookie")).as_deref(), Some("a=1, b=2"));
        assert_eq!(fields.value("Accept"), Some("text/html"));
        assert_eq!(ok(fields.get("absent")), None);
        assert_eq!(Fields::new("").value(""), None);
        assert_eq!(Fields::new("empty\n\n").value("empty"), Some(""));
    }

    #[test]
    fn changes_only_what_differs() {
        assert_eq!(changes(|_| ()), "");
        assert_eq!(changes(|fields| ok(fields.remove("absent"))), "");
        assert_eq!(changes(|fields| ok(fields.remove("te"))), "- te  ");
        assert_eq!(changes(|fields| ok(fields.set("TE", "x"))), "= TE x ");
        assert_eq!(changes(|fields| ok(fields.set("te", "trailers"))), "");
        assert_eq!(changes(|fields| ok(fields.set("set-cookie", "a=1"))), "= set-cookie a=1 ");
        assert_eq!(changes(|fields| ok(fields.set("new", "x"))), "= new x ");
        assert_eq!(changes(|fields| ok(fields.append("set-cookie", "c=3"))), "+ set-cookie c=3 ");
        let appended = changes(|fields| {
            ok(fields.remove("set-cookie"));
            ok(fields.append("set-cookie", "c=3"));
        });
        assert_eq!(appended, "- set-cookie  - set-cookie  + set-cookie c=3 ");
        let replaced = changes(|fields| {
            ok(fields.remove("te"));
            ok(fields.set("te", "x"));
            ok(fields.set("te", "y"));
        });
        assert_eq!(replaced, "= te y ");
        let removed = changes(|fields| {
            ok(fields.set("new", "x"));
            ok(fields.remove_if(|name| name.len() < 4));
        });
        assert_eq!(removed, "- te  ");
    }

    #[test]
    fn rewrites_the_lines_of_a_field_in_order() {
        let second = |value: &str| (value == "b=2").then(|| "b=3".to_owned());
        assert_eq!(changes(|fields| ok(fields.rewrite("set-cookie", second))), "= set-cookie a=1 + set-cookie b=3 ");
        assert_eq!(changes(|fields| ok(fields.rewrite("set-cookie", |_| None))), "");
        assert_eq!(changes(|fields| ok(fields.rewrite("absent", |_| Some(String::new())))), "");
    }

    #[test]
    fn a_value_with_a_line_break_stays_invalid() {
        assert_eq!(changes(|fields| ok(fields.set("te", "x\n+\ny\nz"))), "= te \r ");
    }
}
