//! Input files: bounded reads, standard input as `-`, and errors that name the file.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, stdin};
use std::path::Path;

use tunnel_balancer_config::MAX_BYTES;

/// The largest file that is not YAML: a script, or the state of servers.
const MAX_OTHER: usize = 1 << 20;

/// Returns whether a path stands for standard input or standard output.
pub(crate) fn is_stdio(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// Returns the name of a file for messages, on one line.
pub(crate) fn name(path: &Path) -> String {
    if is_stdio(path) { "<stdin>".to_owned() } else { path.display().to_string().replace(char::is_control, "?") }
}

/// Returns whether two paths name one existing file.
pub(crate) fn is_same_file(one: &Path, other: &Path) -> bool {
    let canonical = |path: &Path| path.canonicalize().ok().filter(|path| path.is_file());
    !is_stdio(one) && !is_stdio(other) && canonical(one).is_some_and(|path| canonical(other) == Some(path))
}

/// Reads a YAML file. One that is too large is cut off, and its parser reports it.
pub(crate) fn yaml(path: &Path) -> Result<String, String> {
    let bytes = read_prefix(path, MAX_BYTES)?;
    if bytes.len() > MAX_BYTES { Ok(String::from_utf8_lossy(&bytes).into_owned()) } else { text(path, bytes) }
}

/// Reads any other text file.
pub(crate) fn any(path: &Path) -> Result<String, String> {
    let bytes = read_prefix(path, MAX_OTHER)?;
    if bytes.len() > MAX_OTHER {
        return Err(format!("error: {} is larger than {} MiB", name(path), MAX_OTHER >> 20));
    }
    text(path, bytes)
}

/// Reads at most one byte more than `limit`, which shows that the file is too large.
fn read_prefix(path: &Path, limit: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = limit as u64 + 1;
    let read = if is_stdio(path) {
        stdin().lock().take(limit).read_to_end(&mut bytes)
    } else {
        File::open(path).and_then(|file| file.take(limit).read_to_end(&mut bytes))
    };
    read.map(|_| bytes).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &Error) -> String {
    let is_default = path.file_name().is_some_and(|name| name == "services.yaml");
    let name = name(path);
    match error.kind() {
        ErrorKind::IsADirectory => format!("error: cannot read {name}: it is a directory"),
        ErrorKind::NotFound if is_default => {
            format!("error: cannot read {name}: {error}\n  hint: create it with `tunnel-balancer init`")
        }
        _ => format!("error: cannot read {name}: {error}"),
    }
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        format!("{}:{line}: error: invalid UTF-8\n  hint: save the file as UTF-8", name(path))
    })
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::{Code, parse};

    use super::*;

    fn with_file(name: &str, content: &[u8], test: impl FnOnce(&Path)) {
        let path = std::env::temp_dir().join(format!("input-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        test(&path);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn files_that_are_too_large_are_not_read_to_their_end() {
        with_file("large", b"", |path| {
            File::options().write(true).open(path).unwrap().set_len(1 << 30).unwrap();
            let start = yaml(path).unwrap();
            assert_eq!(start.len(), MAX_BYTES + 1);
            assert_eq!(parse(&start).unwrap_err().diagnostics()[0].code, Code::TooLarge);
            assert!(any(path).unwrap_err().ends_with("-large is larger than 1 MiB"));
        });
        // Cut within a character.
        with_file("cut", "ä".repeat(MAX_BYTES).as_bytes(), |path| assert!(yaml(path).unwrap().len() > MAX_BYTES));
        with_file("full", &[b'#'; MAX_BYTES], |path| assert_eq!(yaml(path).unwrap().len(), MAX_BYTES));
        with_file("script", &vec![b'/'; MAX_OTHER], |path| assert_eq!(any(path).unwrap().len(), MAX_OTHER));
    }

    #[test]
    fn invalid_utf8_is_reported_with_its_line() {
        with_file("latin", b"a\nb\nf\xfcr\n", |path| {
            let expected = format!("{}:3: error: invalid UTF-8\n  hint: save the file as UTF-8", path.display());
            assert_eq!((yaml(path), any(path)), (Err(expected.clone()), Err(expected)));
        });
    }

    #[test]
    fn unreadable_files_are_reported_with_a_hint_for_the_default() {
        let directory = std::env::temp_dir();
        let error = yaml(&directory).unwrap_err();
        assert!(error.starts_with(&format!("error: cannot read {}: ", directory.display())), "{error}");
        let error = yaml(Path::new("nowhere/services.yaml")).unwrap_err();
        assert!(error.ends_with("\n  hint: create it with `tunnel-balancer init`"), "{error}");
        assert!(!yaml(Path::new("nowhere/other.yaml")).unwrap_err().contains("hint"));
    }
}
