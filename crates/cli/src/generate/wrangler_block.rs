//! The marked block of routes in a wrangler.toml, of which every other byte is kept.

use crate::wrangler::WranglerFile;

const BEGIN: &str = "# BEGIN routes of tunnel-balancer";
const END: &str = "# END routes of tunnel-balancer";

/// Where a block is.
#[derive(Debug)]
pub(super) struct Block<'t> {
    before: &'t str,
    text: &'t str,
    after: &'t str,
}

impl<'t> Block<'t> {
    /// Finds the block of a file.
    pub(super) fn find(name: &str, text: &'t str) -> Result<Option<Self>, String> {
        let (mut begins, mut ends) = (Vec::new(), Vec::new());
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            match line.trim() {
                BEGIN => begins.push(offset),
                END => ends.push(offset + line.len()),
                _ => {}
            }
            offset += line.len();
        }
        let parts = |begin: usize, end: usize| Some((text.get(..begin)?, text.get(begin..end)?, text.get(end..)?));
        match (&begins[..], &ends[..]) {
            ([], []) => Ok(None),
            ([begin], [end]) if begin < end => {
                Ok(parts(*begin, *end).map(|(before, text, after)| Self { before, text, after }))
            }
            _ => Err(format!(
                "error: {name}: expected one line `{BEGIN}` and one line `{END}` below it\n  hint: delete the blocks \
                and \
                 generate a new one"
            )),
        }
    }

    /// The block with its marks.
    pub(super) fn text(&self) -> String {
        self.text.to_owned()
    }

    /// Returns the first line that is not generated: neither a route nor one of these comments.
    pub(super) fn foreign_line(&self, is_own_comment: impl Fn(&str) -> bool) -> Option<usize> {
        let is_route = |line: &str| {
            let value = ["pattern = \"", "zone_name = \""].iter().find_map(|key| line.strip_prefix(key));
            value.and_then(|value| value.strip_suffix('"')).is_some_and(|value| !value.contains('"'))
        };
        let is_own = |line: &str| {
            ["", BEGIN, END, "[[routes]]", "custom_domain = true"].contains(&line)
                || is_route(line)
                || is_own_comment(line)
        };
        let index = self.text.lines().position(|line| !is_own(line.trim()))?;
        Some(self.before.matches('\n').count() + index + 1)
    }

    /// Encloses routes in marks.
    pub(super) fn write(routes: &str) -> String {
        format!("{BEGIN}\n{routes}{END}\n")
    }
}

/// Returns the file with `new` in place of its block, or below everything else. The result is read
/// again: routes outside of the block, or other keys inside, are an error.
pub(super) fn with_block(name: &str, text: &str, block: Option<&Block<'_>>, new: &str) -> Result<String, String> {
    let new = if text.contains("\r\n") { new.replace('\n', "\r\n") } else { new.to_owned() };
    let (before, after) = match block {
        Some(block) => (block.before.to_owned(), block.after),
        None => {
            let line_break = if text.contains("\r\n") { "\r\n" } else { "\n" };
            let needed = if text.is_empty() { 0 } else { 2 - usize::from(text.ends_with('\n')) };
            (text.to_owned() + &line_break.repeat(needed), "")
        }
    };
    // Lines keep their numbers in messages.
    let outside = WranglerFile::parse(name, &format!("{before}{}{after}", "\n".repeat(block.map_or(0, Block::lines))))?;
    if let Some(route) = outside.routes.first() {
        return Err(format!(
            "{name}:{}: error: the file has a route outside of the marked block\n  hint: delete it: routes from \
             services.yaml are in the block",
            route.line
        ));
    }
    let result = before + &new + after;
    let stray = WranglerFile::parse(name, &result)?.routes.into_iter().find(|route| !route.other_keys.is_empty());
    match stray {
        Some(route) => Err(format!(
            "{name}:{}: error: `{}` belongs to the route in this line, as it is below the block\n  hint: move it \
            above the \
             block",
            route.line, route.other_keys[0]
        )),
        None => Ok(result),
    }
}

impl Block<'_> {
    fn lines(&self) -> usize {
        self.text.matches('\n').count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTE: &str = "\n[[routes]]\npattern = \"a.example.com\"\ncustom_domain = true\n";

    fn write(text: &str, routes: &str) -> Result<String, String> {
        with_block("wrangler.toml", text, Block::find("wrangler.toml", text)?.as_ref(), &Block::write(routes))
    }

    #[test]
    fn a_block_is_added_once_and_everything_else_is_kept() {
        for text in
            ["", "name = \"x\"\n", "name = \"x\"", "# [[routes]]\r\nname = \"x\" # y\r\n\r\n[vars]\r\nA = \"b\"\r\n"]
        {
            let once = write(text, ROUTE).unwrap();
            assert!(once.starts_with(text), "{once}");
            assert_eq!(write(&once, ROUTE).unwrap(), once);
            assert_eq!(
                once.matches('\n').count(),
                once.matches(if text.contains('\r') { "\r\n" } else { "\n" }).count()
            );
            let other = write(&once, &ROUTE.replace("a.example", "b.example")).unwrap();
            assert_eq!(other, once.replace("a.example", "b.example"));
            let below = write(&format!("{once}\n[vars]\nA = \"b\"\n"), &ROUTE.replace("a.example", "b.example"));
            if !text.contains("vars") {
                assert_eq!(below.unwrap(), format!("{other}\n[vars]\nA = \"b\"\n"));
            }
        }
    }

    #[test]
    fn what_would_not_be_a_block_is_an_error() {
        let block = Block::write(ROUTE);
        let table = [
            (
                "name = \"x\"\nroutes = [\"a.example.com/*\"]\n".to_owned(),
                "wrangler.toml:2: error: the file has a route outside",
            ),
            (format!("{block}[[routes]]\npattern = \"b/*\"\n"), "wrangler.toml:7: error: the file has a route outside"),
            (format!("{block}name = \"x\"\n"), "wrangler.toml:3: error: `name` belongs to the route in this line"),
            (format!("{block}{block}"), "error: wrangler.toml: expected one line `# BEGIN"),
            (format!("{BEGIN}\n"), "error: wrangler.toml: expected one line `# BEGIN"),
            (format!("{END}\n{BEGIN}\n"), "error: wrangler.toml: expected one line `# BEGIN"),
            ("name = ".to_owned(), "wrangler.toml:1: error: not valid TOML"),
        ];
        for (text, expected) in table {
            let error = write(&text, ROUTE).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
    }
}
