//! The facts outside of a file that decide how it is read.

use crate::platform::Platform;
use crate::secrets::Secrets;

/// What the program that reads a file provides.
pub(crate) struct Environment<'a> {
    pub(crate) secrets: Secrets<'a>,
    /// The program that is to serve the file; `None`: any.
    pub(crate) platform: Option<Platform>,
    /// Returns the ASCII form of an internationalized hostname.
    pub(crate) to_ascii: &'a dyn Fn(&str) -> Option<String>,
    pub(crate) key_owners: KeyOwners,
}

/// Returns the maps of settings that have a key, if the map with these keys is one of them, too. It
/// is part of the environment, so that the readers do not depend on the tables of settings.
pub(crate) type KeyOwners = fn(name: &str, known: &[&str]) -> Option<String>;
