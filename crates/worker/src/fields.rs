//! The header fields of a message, as values of the core.

use std::convert::Infallible;
use std::ops::Range;
use std::rc::Rc;

use tunnel_balancer_core::headers::HeaderFields;

/// Header fields that were read at once, and their changes, which JavaScript applies at once.
///
/// Cheap to clone: each attempt changes a copy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fields {
    /// The lines of the message, as `js/glue.js` writes them.
    text: Rc<str>,
    /// The lines of the message that are left.
    read: Vec<Line>,
    /// Lines that were added.
    added: Vec<(String, String)>,
    /// The lines of the message that were removed.
    removed: Vec<Line>,
}

/// The places of a name and its value.
#[derive(Clone, Debug)]
struct Line {
    name: Range<usize>,
    value: Range<usize>,
}

impl Fields {
    /// Reads the lines that `js/glue.js` writes. JavaScript has names in lower case, keeps the
    /// lines of `Set-Cookie` separate, and joins all others. The letter case of other names is
    /// ignored, as in JavaScript.
    pub(crate) fn new(text: &str) -> Self {
        let mut start = 0;
        let mut part = || {
            let end = start + text.get(start..)?.find('\n')?;
            Some(std::mem::replace(&mut start, end + 1)..end)
        };
        let read = std::iter::from_fn(|| Some(Line { name: part()?, value: part()? })).collect();
        Self { text: text.into(), read, ..Self::default() }
    }

    /// Returns the value of a field, or that of its first line. Only `Set-Cookie` has several.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// Returns the changes in the form that `js/glue.js` reads. A field whose value stays the same
    /// is not changed.
    pub(crate) fn changes(&self) -> String {
        let mut changes = String::new();
        let mut change = |parts: [&str; 3]| parts.iter().for_each(|part| changes.extend([part, "\n"]));
        let mut removed: Vec<(&str, &str)> =
            self.removed.iter().map(|line| (self.part(&line.name), self.part(&line.value))).collect();
        for (name, value) in &self.added {
            let before = removed.len();
            let is_same = removed.iter().any(|(removed, old)| removed.eq_ignore_ascii_case(name) && old == value);
            removed.retain(|(removed, _)| !removed.eq_ignore_ascii_case(name));
            match before - removed.len() {
                0 => change(["+", name, value]),
                1 if is_same && self.values(name).count() == 1 => {}
                // Sets the first one, which removes the lines of the message.
                _ => change(["=", name, value]),
            }
        }
        removed.iter().for_each(|(name, _)| change(["-", name, ""]));
        changes
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let read = self.read.iter().filter(move |line| self.part(&line.name).eq_ignore_ascii_case(name));
        let added = self.added.iter().filter(move |(added, _)| added.eq_ignore_ascii_case(name));
        read.map(|line| self.part(&line.value)).chain(added.map(|(_, value)| value.as_str()))
    }

    fn part(&self, part: &Range<usize>) -> &str {
        self.text.get(part.clone()).unwrap_or_default()
    }

    fn add(&mut self, name: &str, value: &str) {
        // A line break would end the value. JavaScript rejects a return, as other invalid values.
        let value = if value.contains('\n') { "\r" } else { value };
        self.added.push((name.to_owned(), value.to_owned()));
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
        self.add(name, value);
        Ok(())
    }

    fn append(&mut self, name: &str, value: &str) -> Result<(), Infallible> {
        self.add(name, value);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), Infallible> {
        self.remove_if(|present| present.eq_ignore_ascii_case(name))
    }

    fn remove_if(&mut self, is_removed: impl Fn(&str) -> bool) -> Result<(), Infallible> {
        self.added.retain(|(name, _)| !is_removed(name));
        let text = &self.text;
        self.removed.extend(self.read.extract_if(.., |line| text.get(line.name.clone()).is_some_and(&is_removed)));
        Ok(())
    }

    fn rewrite(&mut self, name: &str, new: impl Fn(&str) -> Option<String>) -> Result<(), Infallible> {
        let rewritten: Vec<Option<String>> = self.values(name).map(new).collect();
        if rewritten.iter().all(Option::is_none) {
            return Ok(());
        }
        let old: Vec<String> = self.values(name).map(str::to_owned).collect();
        self.remove(name)?;
        old.into_iter().zip(rewritten).for_each(|(old, new)| self.add(name, &new.unwrap_or(old)));
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
        assert_eq!(changes(|fields| ok(fields.set("new", "x"))), "+ new x ");
        assert_eq!(changes(|fields| ok(fields.append("set-cookie", "c=3"))), "+ set-cookie c=3 ");
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
