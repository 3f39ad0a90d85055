//! The marked block of routes in a wrangler.toml, of which every other byte is kept. Each
//! environment has a block of its own.

use crate::wrangler::WranglerFile;

const BEGIN: &str = "# BEGIN routes of tunnel-balancer";
const END: &str = "# END routes of tunnel-balancer";

/// Returns the mark for an environment.
fn mark(mark: &str, environment: Option<&str>) -> String {
    environment.map_or_else(|| mark.to_owned(), |environment| format!("{mark} for {environment}"))
}

/// Where a block is.
#[derive(Debug)]
pub(super) struct Block<'t> {
    before: &'t str,
    text: &'t str,
    after: &'t str,
}

impl<'t> Block<'t> {
    /// Finds the block of an environment in a file.
    pub(super) fn find(name: &str, text: &'t str, environment: Option<&str>) -> Result<Option<Self>, String> {
        let (begin_mark, end_mark) = (mark(BEGIN, environment), mark(END, environment));
        let (mut begins, mut ends) = (Vec::new(), Vec::new());
        let mut offset = 0;
        for line in text.split_inclusive('\n') {
            if line.trim() == begin_mark {
                begins.push(offset);
            } else if line.trim() == end_mark {
                ends.push(offset + line.len());
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
                "error: {name}: expected one line `{begin_mark}` and one line `{end_mark}` below it\n  hint: delete \
                 the blocks and generate a new one"
            )),
        }
    }

    /// Returns the block with its marks.
    pub(super) fn text(&self) -> String {
        self.text.to_owned()
    }

    /// Returns the first line that is not generated: neither a route nor one of these comments.
    pub(super) fn foreign_line(&self, is_own_comment: impl Fn(&str) -> bool) -> Option<usize> {
        let is_route = |line: &str| {
            let value = ["pattern = \"", "zone_name = \""].iter().find_map(|key| line.strip_prefix(key));
            value.and_then(|value| value.strip_suffix('"')).is_some_and(|value| !value.contains('"'))
        };
        let is_table = |line: &str| line == "[[routes]]" || (line.starts_with("[[env.") && line.ends_with(".routes]]"));
        let is_mark = |line: &str| line.starts_with(BEGIN) || line.starts_with(END);
        let is_own = |line: &str| {
            ["", "custom_domain = true"].contains(&line)
                || is_mark(line)
                || is_table(line)
                || is_route(line)
                || is_own_comment(line)
        };
        let index = self.text.lines().position(|line| !is_own(line.trim()))?;
        Some(self.before.matches('\n').count() + index + 1)
    }

    /// Encloses routes in marks.
    pub(super) fn write(routes: &str, environment: Option<&str>) -> String {
        format!("{}\n{routes}{}\n", mark(BEGIN, environment), mark(END, environment))
    }
}

/// Returns the file with `new` in place of its block, or below everything else. The result is read
/// again: routes outside of the block, or other keys inside, are an error.
pub(super) fn with_block(
    name: &str,
    text: &str,
    block: Option<&Block<'_>>,
    new: &str,
    environment: Option<&str>,
) -> Result<String, String> {
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
    let outside = format!("{before}{}{after}", "\n".repeat(block.map_or(0, Block::lines)));
    let outside = WranglerFile::parse(name, &outside, environment)?;
    if let Some(route) = outside.routes.first().filter(|_| !outside.are_routes_inherited) {
        return Err(format!(
            "{name}:{}: error: the file has a route outside of the marked block\n  hint: delete it: routes of \
             services are in the block",
            route.line
        ));
    }
    let result = before + &new + after;
    let stray =
        WranglerFile::parse(name, &result, environment)?.routes.into_iter().find(|route| !route.other_keys.is_empty());
    match stray {
        Some(route) => Err(format!(
            "{name}:{}: error: `{}` belongs to the route in this line, as it is below the block\n  hint: move it \
             above the block",
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
        write_for(text, routes, None)
    }

    fn write_for(text: &str, routes: &str, environment: Option<&str>) -> Result<String, String> {
        let block = Block::find("wrangler.toml", text, environment)?;
        with_block("wrangler.toml", text, block.as_ref(), &Block::write(routes, environment), environment)
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
    fn each_environment_has_a_block() {
        let staging = ROUTE.replace("[[routes]]", "[[env.staging.routes]]");
        let (top, both) = ("name = \"x\"\n", "name = \"x\"\n\n# BEGIN routes of tunnel-balancer\n");
        let text = write(top, ROUTE).unwrap();
        let text = write_for(&text, &staging, Some("staging")).unwrap();
        assert!(text.starts_with(both), "{text}");
        let block =
            format!("# BEGIN routes of tunnel-balancer for staging\n{staging}# END routes of tunnel-balancer for");
        assert!(text.contains(&block), "{text}");
        assert_eq!(write(&text, ROUTE).unwrap(), text);
        assert_eq!(write_for(&text, &staging, Some("staging")).unwrap(), text);
        let error = write_for(&format!("{text}[vars]\n"), &staging, Some("staging")).unwrap();
        assert!(error.ends_with("for staging\n[vars]\n"), "{error}");
        let own = "[env.staging]\nroutes = [\"a.example.com/*\"]\n";
        let error = write_for(own, &staging, Some("staging")).unwrap_err();
        assert!(error.starts_with("wrangler.toml:2: error: the file has a route outside"), "{error}");
    }

    #[test]
    fn what_would_not_be_a_block_is_an_error() {
        let block = Block::write(ROUTE, None);
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
