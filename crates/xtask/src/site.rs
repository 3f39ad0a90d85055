//! The documentation as a site: mdBook renders the pages that `docs/SUMMARY.md` lists.
//!
//! The book has the layout of the repository, so that links work on GitHub and in the book alike.

mod links;

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::process::Command;

use crate::cache::Cache;
use crate::failure::Failure;
use crate::files;
use crate::process::{announce, run};
use crate::tools::Tool;
use crate::workspace::Workspace;

const DOCS: &str = "docs";
const SUMMARY: &str = "docs/SUMMARY.md";
const CONFIG: &str = "docs/book.toml";
const OUTPUT: &str = "target/site";

/// Builds the site into `target/site/book`, and fails if a link has no target.
pub(crate) fn build(workspace: &Workspace) -> Result<(), Failure> {
    let cache = Cache::from_env()?;
    let mdbook = Tool::MDBOOK.provide(&cache)?;
    let mermaid = Tool::MDBOOK_MERMAID.provide(&cache)?;

    let output = workspace.root().join(OUTPUT);
    files::remove(&output)?;
    let summary = workspace.read(SUMMARY)?;
    for page in pages(&summary) {
        files::copy(&workspace.root().join(&page), &output.join("src").join(&page))?;
    }
    files::write(&output.join("src/SUMMARY.md"), rebase(&summary))?;
    files::copy(&workspace.root().join(CONFIG), &output.join("book.toml"))?;

    // mdBook finds the preprocessor on the PATH.
    let programs = mermaid.parent().map(Path::to_owned);
    let inherited = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::join_paths(programs.into_iter().chain(std::env::split_paths(&inherited)))
        .map_err(|error| Failure::new(format!("cannot extend PATH: {error}")))?;
    run(Command::new(&mermaid).arg("install").arg(&output))?;
    run(Command::new(&mdbook).arg("build").arg(&output).env("PATH", path))?;

    let checked = links::check(&output.join("book"), workspace.root())?;
    announce(&format!("{checked} links; open target/site/book/index.html"));
    Ok(())
}

/// Returns the paths of the pages from the root of the repository.
fn pages(summary: &str) -> BTreeSet<PathBuf> {
    targets(summary).into_iter().map(from_root).collect()
}

/// Returns the summary with links from the root of the repository, where mdBook reads it.
fn rebase(summary: &str) -> String {
    targets(summary).into_iter().collect::<BTreeSet<_>>().into_iter().fold(summary.to_owned(), |text, target| {
        text.replace(&format!("]({target})"), &format!("]({})", from_root(target).display()))
    })
}

fn targets(summary: &str) -> Vec<&str> {
    summary.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect()
}

/// Returns a path below `docs` as one below the root.
fn from_root(target: &str) -> PathBuf {
    normalize(&Path::new(DOCS).join(target))
}

/// Resolves `..` without the file system.
fn normalize(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                normal.pop();
            }
            Component::CurDir => {}
            other => normal.push(other),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_of_the_summary_start_at_the_root() {
        let summary = "[Start](../README.md)\n- [check](check.md)\n- [Container](quick-start/container.md)\n";
        let rebased = "[Start](README.md)\n- [check](docs/check.md)\n- [Container](docs/quick-start/container.md)\n";
        assert_eq!(rebase(summary), rebased);
        assert!(pages(summary).contains(Path::new("README.md")));
    }
}
