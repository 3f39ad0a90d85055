//! The file of the services: read at the start, and again whenever it changes.
//!
//! It is looked at, not listened to: a file may be replaced, mounted into a container or on a
//! share, and events of the file system tell of none of these reliably. Reading some kilobytes a
//! second costs nothing.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tunnel_balancer_config::{Config, MAX_BYTES, parse_with};

/// The file and what was last read from it.
#[derive(Debug)]
pub(crate) struct File {
    path: PathBuf,
    /// Read before, and acted on.
    taken: Result<String, String>,
    /// Read last.
    seen: Result<String, String>,
}

impl File {
    /// How often it is looked at.
    pub(crate) const EVERY: Duration = Duration::from_secs(1);

    /// Reads it for the first time.
    ///
    /// # Errors
    /// With what is wrong with it, for people.
    pub(crate) fn open(path: &Path) -> Result<(Self, Config), String> {
        let text = read(path);
        let file = Self { path: path.to_owned(), taken: text.clone(), seen: text };
        let config = file.parse()?;
        Ok((file, config))
    }

    /// Reads it, and tells what it says if that is new: not what was taken before, and the same
    /// twice in a row. An editor may be in the middle of writing, and half a file can be a valid
    /// one.
    pub(crate) fn look(&mut self) -> Option<Result<Config, String>> {
        let text = read(&self.path);
        let is_settled = text == self.seen;
        self.seen = text;
        (is_settled && self.seen != self.taken).then(|| self.take())
    }

    /// Reads it and tells what it says, new or not.
    pub(crate) fn look_again(&mut self) -> Result<Config, String> {
        self.seen = read(&self.path);
        self.take()
    }

    fn take(&mut self) -> Result<Config, String> {
        self.taken = self.seen.clone();
        self.parse()
    }

    fn parse(&self) -> Result<Config, String> {
        let text = self.taken.as_deref().map_err(Clone::clone)?;
        let name = self.path.display().to_string();
        parse_with(text, &|secret| std::env::var(secret).ok()).map_err(|errors| errors.in_file(&name).to_string())
    }
}

fn read(path: &Path) -> Result<String, String> {
    let mut text = Vec::new();
    // A byte more says that there are too many.
    let read = std::fs::File::open(path).and_then(|file| file.take(MAX_BYTES as u64 + 1).read_to_end(&mut text));
    read.map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if text.len() > MAX_BYTES {
        return Err(format!("{} is larger than {MAX_BYTES} bytes", path.display()));
    }
    String::from_utf8(text).map_err(|_| format!("{} is not text in UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_too_large_is_not_read_to_its_end() {
        let path = std::env::temp_dir().join(format!("configuration-{}", std::process::id()));
        std::fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
        let told = read(&path).unwrap_err();
        std::fs::remove_file(path).unwrap();
        assert!(told.ends_with(" is larger than 262144 bytes"), "{told}");
    }
}
