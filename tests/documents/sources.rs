//! The files of the repository.

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Returns the paths of all Rust files below `directory`, relative to the root, in order.
pub(crate) fn rust_files(directory: &str) -> Vec<String> {
    files(directory, ".rs")
}

/// Returns the paths of all files below `directory` that end with `suffix`, relative to the root,
/// in order.
pub(crate) fn files(directory: &str, suffix: &str) -> Vec<String> {
    let mut files = Vec::new();
    let entries = fs::read_dir(root().join(directory)).unwrap_or_else(|error| panic!("{directory}: {error}"));
    for entry in entries {
        let entry = entry.unwrap();
        let path = format!("{directory}/{}", entry.file_name().to_str().unwrap());
        if entry.file_type().unwrap().is_dir() {
            files.extend(self::files(&path, suffix));
        } else if path.ends_with(suffix) {
            files.push(path);
        }
    }
    files.sort();
    files
}

pub(crate) fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}
