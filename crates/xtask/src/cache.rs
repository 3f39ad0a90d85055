//! The machine-wide cache for tools that take minutes to build: outside the checkout, so that a
//! fresh clone does not build them again, and named by version, so that several checkouts can want
//! different ones.
//!
//! An interrupted run must not leave a half-made tool that counts as present. So whatever is made
//! here is made in a directory named `*.partial` and renamed at the end, under a lock that the
//! operating system drops with its process.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::process::announce;

/// The cache directory.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// The cache named by the environment; see `cargo xtask setup --help`.
    pub(crate) fn from_env() -> Result<Self, Failure> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let directory = if let Some(own) = variable("TUNNEL_BALANCER_CACHE") {
            PathBuf::from(own)
        } else if let Some(xdg) = variable("XDG_CACHE_HOME") {
            PathBuf::from(xdg).join("tunnel-balancer")
        } else if let Some(home) = variable("HOME").or_else(|| variable("USERPROFILE")) {
            PathBuf::from(home).join(".cache/tunnel-balancer")
        } else {
            return Err(Failure::new("no place to keep build tools in: HOME is not set")
                .hint("set TUNNEL_BALANCER_CACHE to a directory"));
        };
        let directory =
            std::path::absolute(&directory).map_err(|error| Failure::io("cannot use the cache", &directory, &error))?;
        Ok(Self { directory })
    }

    /// Where an entry is, or will be once it is made.
    pub(crate) fn entry(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Returns an entry, and makes it first where `is_complete` says that it is not there. `make`
    /// works in a directory of its own (its argument), which becomes the entry only when it
    /// succeeds.
    pub(crate) fn provide(
        &self,
        name: &str,
        is_complete: impl Fn(&Path) -> bool,
        make: impl FnOnce(&Path) -> Result<(), Failure>,
    ) -> Result<PathBuf, Failure> {
        let entry = self.entry(name);
        if is_complete(&entry) {
            return Ok(entry);
        }
        let _lock = self.lock(name)?;
        if is_complete(&entry) {
            return Ok(entry);
        }
        let partial = self.entry(&format!("{name}.partial"));
        // Both can only be left-overs of interrupted runs: we hold the lock.
        remove(&partial)?;
        remove(&entry)?;
        create(&partial)?;
        let made = make(&partial).and_then(|()| {
            fs::rename(&partial, &entry).map_err(|error| Failure::io("cannot put into place", &entry, &error))
        });
        if made.is_err() {
            remove(&partial)?;
        }
        made.map(|()| entry)
    }

    /// Waits until no other task of this machine installs `name`, and keeps others out until the
    /// result is dropped.
    pub(crate) fn lock(&self, name: &str) -> Result<File, Failure> {
        create(&self.directory)?;
        let path = self.entry(&format!("{name}.lock"));
        let cannot = |error: std::io::Error| Failure::io("cannot lock", &path, &error);
        let file = File::create(&path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::Error(error)) => Err(cannot(error)),
            Err(TryLockError::WouldBlock) => {
                announce(&format!("another `cargo xtask` is installing {name}: waiting for it"));
                file.lock().map_err(cannot)?;
                Ok(file)
            }
        }
    }
}

/// Creates a directory and its parents.
pub(crate) fn create(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|error| Failure::io("cannot create the directory", directory, &error))
}

/// Removes a directory with all that is in it; one that does not exist is fine.
pub(crate) fn remove(directory: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("cannot remove", directory, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A cache in a directory that is removed again.
    struct Scratch(Cache);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("xtask-cache-{name}-{}", std::process::id());
            let directory = std::env::temp_dir().join(name);
            Self(Cache { directory })
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            remove(&self.0.directory).unwrap();
        }
    }

    fn has_tool(entry: &Path) -> bool {
        entry.join("tool").is_file()
    }

    fn make_tool(partial: &Path) -> Result<(), Failure> {
        fs::write(partial.join("tool"), "").unwrap();
        Ok(())
    }

    #[test]
    fn an_entry_is_made_once() {
        let cache = Scratch::new("once");
        let first = cache.0.provide("t-1", has_tool, make_tool).unwrap();
        assert!(has_tool(&first));
        let again = cache.0.provide("t-1", has_tool, |_| Err(Failure::new("made again")));
        assert_eq!(again.unwrap(), first);
    }

    #[test]
    fn a_failed_attempt_leaves_nothing() {
        let cache = Scratch::new("failed");
        let result = cache.0.provide("t-1", has_tool, |partial| {
            make_tool(partial)?;
            Err(Failure::new("no luck"))
        });
        assert!(result.is_err());
        assert!(!cache.0.entry("t-1").exists());
        assert!(!cache.0.entry("t-1.partial").exists());
    }

    #[test]
    fn left_overs_of_an_interrupted_run_do_not_count() {
        let cache = Scratch::new("left-over");
        create(&cache.0.entry("t-1.partial/half")).unwrap();
        create(&cache.0.entry("t-1/half")).unwrap();
        let entry = cache.0.provide("t-1", has_tool, make_tool).unwrap();
        assert!(!entry.join("half").exists());
    }
}
