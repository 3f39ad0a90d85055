//! The cache for tools that take minutes to build. It is outside the checkout, so that a fresh
//! clone uses it, too. Entries are named by version, so that checkouts can use different ones.

use std::fs::{File, TryLockError};
use std::path::PathBuf;

use crate::failure::Failure;
use crate::files;
use crate::process::announce;

/// The cache directory.
#[derive(Debug)]
pub(crate) struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// Returns the cache that the environment names; see `cargo xtask setup --help`.
    pub(crate) fn from_env() -> Result<Self, Failure> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let directory = variable("TUNNEL_BALANCER_CACHE")
            .or_else(|| Some(variable("XDG_CACHE_HOME")?.join("tunnel-balancer")))
            .or_else(|| Some(variable("HOME").or_else(|| variable("USERPROFILE"))?.join(".cache/tunnel-balancer")))
            .ok_or_else(|| {
                Failure::new("HOME is not set").hint("set TUNNEL_BALANCER_CACHE to a directory for build tools")
            })?;
        let directory =
            std::path::absolute(&directory).map_err(|error| Failure::io("cannot use the cache", &directory, &error))?;
        Ok(Self { directory })
    }

    /// Returns the path of an entry, whether it exists or not.
    pub(crate) fn entry(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Waits until no other `cargo xtask` installs `name`, and keeps others out until the result is
    /// dropped. The operating system releases the lock when the process ends.
    pub(crate) fn lock(&self, name: &str) -> Result<File, Failure> {
        files::create(&self.directory)?;
        let path = self.entry(&format!("{name}.lock"));
        let cannot = |error: std::io::Error| Failure::io("cannot lock", &path, &error);
        let file = File::create(&path).map_err(cannot)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::Error(error)) => return Err(cannot(error)),
            Err(TryLockError::WouldBlock) => {
                announce(&format!("waiting for another `cargo xtask` that installs {name}"));
                file.lock().map_err(cannot)?;
            }
        }
        Ok(file)
    }
}
