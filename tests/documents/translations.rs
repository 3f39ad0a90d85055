//! Translated pages have the structure, the commands and the settings of their originals.

use std::collections::BTreeSet;

use crate::sources::read;

/// The originals and their translations.
const PAGES: [(&str, &str); 2] =
    [("README.md", "README.zh-CN.md"), ("docs/quick-start/cloudflare.md", "docs/quick-start/cloudflare.zh-CN.md")];

#[test]
fn translations_follow_their_originals() {
    for (original, translation) in PAGES {
        let (original_text, translated_text) = (read(original), read(translation));
        let (expected, found) = (outline(&original_text), outline(&translated_text));
        let at = (0..=expected.len()).find(|&at| found.get(at) != expected.get(at)).unwrap_or(expected.len());
        assert_eq!(found.get(at), expected.get(at), "part {at} of {translation} is not that of {original}");

        let (expected, found) = (inline_code(&original_text), inline_code(&translated_text));
        let missing: Vec<_> = expected.difference(&found).collect();
        let unknown: Vec<_> = found.difference(&expected).collect();
        assert!(missing.is_empty(), "{translation} lacks the code {missing:?} of {original}");
        assert!(unknown.is_empty(), "{translation} has the code {unknown:?}, which {original} lacks");
    }
}

/// Returns the parts of a page that a translation keeps: headings, blocks, rows and items.
fn outline(page: &str) -> Vec<String> {
    let mut outline = Vec::new();
    for (index, part) in page.split("\n```").enumerate() {
        let is_block = index % 2 == 1;
        match part.lines().next() {
            // The labels of diagrams are translated.
            Some("mermaid") if is_block => outline.push("a diagram".to_owned()),
            _ if is_block => outline.push(part.to_owned()),
            _ => outline.extend(part.lines().filter_map(kind)),
        }
    }
    outline
}

fn kind(line: &str) -> Option<String> {
    let heading = line.chars().take_while(|&c| c == '#').count();
    let is_numbered = line.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
    match line {
        _ if heading > 0 => Some(format!("a heading of level {heading}")),
        _ if line.starts_with('|') => Some(format!("a row of {} cells", line.matches(" |").count())),
        _ if line.starts_with("- ") => Some("an item".to_owned()),
        _ if is_numbered => Some("a numbered item".to_owned()),
        _ => None,
    }
}

/// Returns the strings in backticks, outside of blocks.
fn inline_code(page: &str) -> BTreeSet<String> {
    let prose: Vec<&str> = page.split("\n```").step_by(2).collect();
    let prose = prose.join("\n").replace('\n', " ");
    prose.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}
