//! Files that are read: no more of them than is of use, and with their name in whatever is wrong
//! with them.

use std::fs::File;
use std::io::{Error, ErrorKind, Read as _};
use std::path::Path;

use tunnel_balancer_config::MAX_BYTES;

/// The largest file that is none of YAML: a script, or what is known of servers.
const MAX_OTHER: usize = 1 << 20;

/// The text of a file of YAML. Of one that is too large only the beginning, which its parser
/// refuses as too large.
pub(crate) fn yaml(path: &Path) -> Result<String, String> {
    let bytes = beginning(path, MAX_BYTES)?;
    if bytes.len() > MAX_BYTES { Ok(String::from_utf8_lossy(&bytes).into_owned()) } else { text(path, bytes) }
}

/// The text of any other file.
pub(crate) fn any(path: &Path) -> Result<String, String> {
    let bytes = beginning(path, MAX_OTHER)?;
    if bytes.len() > MAX_OTHER {
        return Err(format!("error: {} is larger than {} MiB", path.display(), MAX_OTHER >> 20));
    }
    text(path, bytes)
}

/// A byte more than `most` says that there are too many.
fn beginning(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes));
    read.map(|_| bytes).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &Error) -> String {
    let name = path.display();
    let is_usual = path.file_name().is_some_and(|name| name == "services.yaml");
    match error.kind() {
        ErrorKind::IsADirectory => format!("error: cannot read {name}: it is a directory"),
        ErrorKind::NotFound if is_usual => {
            format!("error: cannot read {name}: {error}\n  hint: `tunnel-balancer init` writes one")
        }
        _ => format!("error: cannot read {name}: {error}"),
    }
}

fn text(path: &Path, bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        format!("{}:{line}: error: this is not text in UTF-8\n  hint: save the file as UTF-8", path.display())
    })
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::{Code, parse};

    use super::*;

    fn with(name: &str, content: &[u8], look: impl FnOnce(&Path)) {
        let path = std::env::temp_dir().join(format!("input-{}-{name}", std::process::id()));
        std::fs::write(&path, content).unwrap();
        look(&path);
        std::fs::remove_file(path).unwrap();
    }

    #[test]
    fn a_file_that_is_too_large_is_not_read_to_its_end() {
        with("large", b"", |path| {
            File::options().write(true).open(path).unwrap().set_len(1 << 30).unwrap();
            let start = yaml(path).unwrap();
            assert_eq!(start.len(), MAX_BYTES + 1);
            assert_eq!(parse(&start).unwrap_err().diagnostics()[0].code, Code::TooLarge);
            assert!(any(path).unwrap_err().ends_with("-large is larger than 1 MiB"));
        });
        // Cut within a character.
        with("cut", "ä".repeat(MAX_BYTES).as_bytes(), |path| assert!(yaml(path).unwrap().len() > MAX_BYTES));
        with("full", &[b'#'; MAX_BYTES], |path| assert_eq!(yaml(path).unwrap().len(), MAX_BYTES));
        with("script", &vec![b'/'; MAX_OTHER], |path| assert_eq!(any(path).unwrap().len(), MAX_OTHER));
    }

    #[test]
    fn what_is_no_text_is_told_with_its_line() {
        with("latin", b"a\nb\nf\xfcr\n", |path| {
            let expected =
                format!("{}:3: error: this is not text in UTF-8\n  hint: save the file as UTF-8", path.display());
            assert_eq!((yaml(path), any(path)), (Err(expected.clone()), Err(expected)));
        });
    }

    #[test]
    fn what_is_no_file_is_told() {
        let directory = std::env::temp_dir();
        let told = yaml(&directory).unwrap_err();
        assert!(told.starts_with(&format!("error: cannot read {}: ", directory.display())), "{told}");
        let told = yaml(Path::new("nowhere/services.yaml")).unwrap_err();
        assert!(told.ends_with("\n  hint: `tunnel-balancer init` writes one"), "{told}");
        assert!(!yaml(Path::new("nowhere/other.yaml")).unwrap_err().contains("hint"));
    }
}
