//! The IDs of test cases: every ID in the sources is in `docs/test-cases.md`, and the reverse.

use std::collections::{BTreeMap, BTreeSet};

use expect_test::expect_file;

use crate::sources::{read, rust_files};

const CATALOGUE: &str = "docs/test-cases.md";
const FAMILIES: [&str; 10] = ["AFF", "BOD", "CFG", "HC", "HDR", "OUT", "PERF", "RTY", "SEL", "WS"];
/// The families of IDs without a hyphen: defects of the original script, and threats.
const SHORT_FAMILIES: [char; 2] = ['S', 'T'];

/// `UPDATE_EXPECT=1` rewrites the column of tests.
#[test]
fn the_catalogue_lists_the_ids_of_all_tests() {
    let mut tests = tests();
    let (mut actual, mut unused) = (String::new(), Vec::new());
    for line in read(CATALOGUE).lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let row = match cells[..] {
            ["", id, case, _, ""] if is_id(id) => match tests.remove(id) {
                Some(names) => format!("| {id} | {case} | {} |", names.into_iter().collect::<Vec<_>>().join(", ")),
                None => {
                    unused.push(id.to_owned());
                    line.to_owned()
                }
            },
            _ => line.to_owned(),
        };
        actual += &(row + "\n");
    }
    assert!(tests.is_empty(), "IDs that {CATALOGUE} does not list: {tests:#?}");
    assert!(unused.is_empty(), "IDs in {CATALOGUE} that no test names: {unused:?}");
    expect_file!["../../docs/test-cases.md"].assert_eq(&actual);
}

/// Returns the tests of each ID. An ID belongs to the function below its doc comment, or to the
/// function that contains it.
fn tests() -> BTreeMap<String, BTreeSet<String>> {
    let mut tests = BTreeMap::<String, BTreeSet<String>>::new();
    let files = ["crates", "tests"].into_iter().flat_map(rust_files);
    // The tests of `xtask` have IDs as examples.
    for file in files.filter(|file| !file.starts_with("crates/xtask/") && !file.starts_with("tests/documents/")) {
        let group = file.split('/').nth(1).unwrap();
        let (mut function, mut documented) = (String::new(), BTreeSet::new());
        for line in read(&file).lines().map(str::trim).filter(|line| !line.starts_with("//!")) {
            let mut ids = ids(line);
            if line.starts_with("///") {
                documented.append(&mut ids);
            } else if let Some(name) = function_name(line) {
                name.clone_into(&mut function);
                ids.append(&mut documented);
            }
            for id in ids {
                tests.entry(id).or_default().insert(format!("`{group}::{function}`"));
            }
        }
    }
    tests
}

fn function_name(line: &str) -> Option<&str> {
    let words: Vec<&str> = line.split(' ').collect();
    let name = words.iter().skip_while(|word| **word != "fn").nth(1)?;
    name.split(['(', '<']).next()
}

/// Returns the IDs of a line: `HC-05` and `T07` in a comment, `hc_05_` and `t07_` in a test name.
fn ids(line: &str) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for word in line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_') {
        if is_id(word) && (word.contains('-') || line.starts_with("//")) {
            ids.insert(word.to_owned());
        }
    }
    let parts: Vec<String> = function_name(line).unwrap_or_default().split('_').map(str::to_uppercase).collect();
    ids.extend(parts.iter().take(1).filter(|part| is_id(part)).cloned());
    ids.extend(parts.windows(2).map(|pair| pair.join("-")).filter(|id| is_id(id)));
    ids
}

fn is_id(word: &str) -> bool {
    let is_number = |text: &str| text.len() == 2 && text.bytes().all(|digit| digit.is_ascii_digit());
    match word.split_once('-') {
        Some((family, number)) => FAMILIES.contains(&family) && is_number(number),
        None => word.strip_prefix(SHORT_FAMILIES).is_some_and(is_number),
    }
}
