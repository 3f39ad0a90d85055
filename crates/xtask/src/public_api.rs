//! The public interface of the libraries, as a list in a file. A change of it is seen in a review.
//!
//! The list is read from the pages of rustdoc, which the stable toolchain writes. Its JSON needs a
//! nightly one.

use std::fs;
use std::path::Path;

use crate::failure::Failure;
use crate::files;
use crate::process::{announce, run};
use crate::workspace::Workspace;

/// The libraries for programs of others, with their folders.
const LIBRARIES: [(&str, &str); 2] =
    [("tunnel-balancer-core", "crates/core"), ("tunnel-balancer-tokio", "crates/tokio")];

/// The file with the list, in the folder of a library.
const FILE: &str = "public-api.txt";

/// Compares the lists with the documentation. With `UPDATE=1`, accepts it.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    if std::env::var_os("UPDATE").is_some() {
        return bless(workspace);
    }
    for (file, list) in lists(workspace)? {
        let accepted = fs::read_to_string(&file).unwrap_or_default();
        if let Some((old, new)) = first_difference(&accepted, &list) {
            let message = format!("the public interface differs from {}:\n- {old}\n+ {new}", file.display());
            return Err(Failure::new(message).hint("`cargo xtask bless` accepts a change that is intended"));
        }
    }
    Ok(())
}

/// Writes the lists.
pub(crate) fn bless(workspace: &Workspace) -> Result<(), Failure> {
    for (file, list) in lists(workspace)? {
        files::write(&file, list)?;
    }
    Ok(())
}

/// Documents the libraries, and returns the files with what they should contain.
fn lists(workspace: &Workspace) -> Result<Vec<(std::path::PathBuf, String)>, Failure> {
    let target = workspace.root().join("target/public-api");
    let mut cargo = workspace.cargo(&["doc", "--no-deps", "--all-features"]);
    cargo.env("CARGO_TARGET_DIR", &target);
    for (library, _) in LIBRARIES {
        cargo.args(["-p", library]);
    }
    run(&mut cargo)?;
    let list = |(library, folder): &(&str, &str)| {
        let list = list(&target.join("doc").join(library.replace('-', "_")))?;
        announce(&format!("{library}: {} public items", list.lines().count()));
        Ok((workspace.root().join(folder).join(FILE), list))
    };
    LIBRARIES.iter().map(list).collect()
}

/// Returns the public items of a documented crate, one a line.
fn list(documentation: &Path) -> Result<String, Failure> {
    let read = |page: &Path| fs::read_to_string(page).map_err(|error| Failure::io("cannot read", page, &error));
    let all = read(&documentation.join("all.html"))?;
    let mut lines = Vec::new();
    // Links to a part of this page begin with `#`.
    for link in between(&all, "<li><a href=\"", "\"").filter(|link| link.ends_with(".html")) {
        let path = link.trim_end_matches(".html").replace('/', "::");
        let name = path.split('.').next_back().unwrap_or_default();
        let module = path.rsplit_once("::").map(|(module, _)| format!("{module}::")).unwrap_or_default();
        lines
            .extend(items(&read(&documentation.join(link))?).into_iter().map(|item| format!("{module}{name}: {item}")));
    }
    lines.sort();
    lines.dedup();
    Ok(lines.join("\n") + "\n")
}

/// Returns the declarations on the page of an item: of itself, of its functions, and of the traits
/// that it implements.
fn items(page: &str) -> Vec<String> {
    // The compiler implements auto traits.
    let own = page.split("id=\"synthetic-implementations\"").next().unwrap_or_default();
    let (inherent, traits) = own.split_once("id=\"trait-implementations\"").unwrap_or((own, ""));
    let declarations = between(inherent, "<pre class=\"rust item-decl\"><code>", "</code></pre>");
    let functions = between(inherent, "<h4 class=\"code-header\">", "</h4>");
    let implemented = between(traits, "<h3 class=\"code-header\">", "</h3>");
    let items = declarations.chain(functions).chain(implemented).map(text);
    // A marker of the compiler, which `PartialEq` implies.
    items.filter(|item| !item.starts_with("impl StructuralPartialEq")).collect()
}

/// Returns the strings between two marks.
fn between<'a>(text: &'a str, start: &'a str, end: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(start).skip(1).filter_map(move |part| part.split(end).next())
}

/// Returns the text of HTML in one line, without comments.
fn text(html: &str) -> String {
    let mut text = String::new();
    for part in html.split('<') {
        let (tag, after) = part.split_once('>').unwrap_or(("", part));
        // A block is a line of its own.
        if tag.starts_with("div") || tag.starts_with("/div") || tag.starts_with("br") {
            text.push(' ');
        }
        let is_comment = tag.contains("class=\"comment\"") || tag.contains("class=\"doccomment\"");
        if !is_comment {
            text.push_str(after);
        }
    }
    let text = text.replace("&lt;", "<").replace("&gt;", ">").replace("&#39;", "'").replace("&quot;", "\"");
    text.replace("&nbsp;", " ").replace("&amp;", "&").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the first lines that differ, if there are any.
fn first_difference<'a>(old: &'a str, new: &'a str) -> Option<(&'a str, &'a str)> {
    let mut lines = (old.lines(), new.lines());
    loop {
        match (lines.0.next(), lines.1.next()) {
            (None, None) => return None,
            (old, new) if old == new => {}
            (old, new) => return Some((old.unwrap_or_default(), new.unwrap_or_default())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn declarations_are_read_from_a_page() {
        let page = "<pre class=\"rust item-decl\"><code>pub struct <a href=\"x\">Pool</a>&lt;T&gt; \
            <div class=\"where\">where T: Copy,</div>\
            { <span class=\"comment\">/* private fields */</span> }</code></pre>\
            <h4 class=\"code-header\">pub fn <a>new</a>(a: &amp;<a>T</a>) -&gt; Self</h4>\
            <h2 id=\"trait-implementations\"></h2><h3 class=\"code-header\">impl Clone for Pool</h3>\
            <h4 class=\"code-header\">fn clone(&amp;self)</h4>\
            <h2 id=\"synthetic-implementations\"></h2><h3 class=\"code-header\">impl Send for Pool</h3>";
        assert_eq!(
            items(page),
            ["pub struct Pool<T> where T: Copy, { }", "pub fn new(a: &T) -> Self", "impl Clone for Pool"]
        );
    }

    #[test]
    fn a_removed_item_is_a_difference() {
        assert_eq!(first_difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(first_difference("a\nb\n", "a\n"), Some(("b", "")));
        assert_eq!(first_difference("", "a\n"), Some(("", "a")));
    }
}
