//! The table of contents of the site.

use std::collections::BTreeSet;

use crate::sources::{files, read};

#[test]
fn the_summary_lists_every_page() {
    let summary = read("docs/SUMMARY.md");
    let listed: Vec<&str> = summary.split("](").skip(1).filter_map(|rest| rest.split(')').next()).collect();
    let pages: BTreeSet<String> = files("docs", ".md").into_iter().filter(|page| page != "docs/SUMMARY.md").collect();
    let missing: Vec<&String> =
        pages.iter().filter(|page| !listed.contains(&page.trim_start_matches("docs/"))).collect();
    assert!(missing.is_empty(), "docs/SUMMARY.md does not list {missing:?}");
    let unique: BTreeSet<&&str> = listed.iter().collect();
    assert_eq!(unique.len(), listed.len(), "docs/SUMMARY.md lists a page twice");
}
