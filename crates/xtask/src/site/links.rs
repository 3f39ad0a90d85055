//! The links of the built site. Links to files of the repository, such as examples, get a copy of
//! the file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use super::normalize;
use crate::failure::Failure;
use crate::files;

/// Checks each link within the book, and copies the linked files of the repository into it. Returns
/// the number of links.
pub(super) fn check(book: &Path, repository: &Path) -> Result<usize, Failure> {
    let mut pages = BTreeMap::new();
    for file in html_files(book)? {
        let html = fs::read_to_string(&file).map_err(|error| Failure::io("cannot read", &file, &error))?;
        pages.insert(file.strip_prefix(book).unwrap_or(&file).to_owned(), html);
    }
    let (mut checked, mut dead) = (0, Vec::new());
    for (page, html) in &pages {
        for link in links(html) {
            checked += 1;
            if !provide(page, &link, &pages, book, repository)? {
                dead.push(format!("{}: {link}", page.display()));
            }
        }
    }
    if dead.is_empty() { Ok(checked) } else { Err(Failure::new(format!("dead links:\n  {}", dead.join("\n  ")))) }
}

/// Returns whether a link has a target, after copying it from the repository if it is missing.
fn provide(
    page: &Path,
    link: &str,
    pages: &BTreeMap<PathBuf, String>,
    book: &Path,
    repository: &Path,
) -> Result<bool, Failure> {
    let (path, anchor) = link.split_once('#').map_or((link, ""), |(path, anchor)| (path, anchor));
    let target = if path.is_empty() { page.to_owned() } else { normalize(&page.with_file_name(path)) };
    if let Some(html) = pages.get(&target) {
        return Ok(anchor.is_empty() || has_id(html, anchor));
    }
    let (built, source) = (book.join(&target), repository.join(&target));
    if !built.is_file() && source.is_file() {
        files::copy(&source, &built)?;
    }
    Ok(built.is_file())
}

/// Returns the links of a page to other parts of the book.
fn links(html: &str) -> BTreeSet<String> {
    let attributes = [" href=\"", " src=\"", " srcset=\""].into_iter();
    let values = attributes.flat_map(|attribute| html.split(attribute).skip(1));
    let values = values.filter_map(|rest| rest.split('"').next()).map(|value| value.replace("&amp;", "&"));
    values.filter(|link| !link.contains("://") && !link.starts_with("data:") && link != "#").collect()
}

fn has_id(html: &str, id: &str) -> bool {
    html.contains(&format!(" id=\"{id}\""))
}

/// Returns the pages below a directory. The page for unknown paths has links from the root.
fn html_files(directory: &Path) -> Result<Vec<PathBuf>, Failure> {
    let cannot = |error| Failure::io("cannot read", directory, &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(cannot)? {
        let path = entry.map_err(cannot)?.path();
        if path.is_dir() {
            files.extend(html_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "html") && !path.ends_with("404.html") {
            files.push(path);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_other_hosts_are_left_out() {
        let html = r##"<a href="check.html#codes">a</a><a href="https://example.com/">b</a><img src="a&amp;b.png">"##;
        assert_eq!(links(html).into_iter().collect::<Vec<_>>(), ["a&b.png", "check.html#codes"]);
    }

    #[test]
    fn anchors_and_files_need_a_target() {
        let pages = BTreeMap::from([(PathBuf::from("docs/check.html"), r#"<h2 id="codes">"#.to_owned())]);
        let nowhere = Path::new("/nonexistent");
        let provided = |link| provide(Path::new("docs/serve.html"), link, &pages, nowhere, nowhere).unwrap();
        assert!(provided("check.html") && provided("check.html#codes") && provided("../docs/check.html#codes"));
        assert!(!provided("check.html#code") && !provided("chck.html") && !provided("#codes"));
    }
}
