//! Operations on files and directories, with errors that name the path.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::failure::Failure;

/// Creates a directory and its parents.
pub(crate) fn create(directory: &Path) -> Result<(), Failure> {
    fs::create_dir_all(directory).map_err(|error| Failure::io("cannot create the directory", directory, &error))
}

/// Removes a directory with its content, if it exists.
pub(crate) fn remove(directory: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(directory) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::io("cannot remove", directory, &error)),
        _ => Ok(()),
    }
}

/// Copies a file with its permissions, and creates the directory of the copy.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    to.parent().map_or(Ok(()), create)?;
    fs::copy(from, to).map(drop).map_err(|error| Failure::io("cannot copy", from, &error))
}

/// Writes a file.
pub(crate) fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), Failure> {
    fs::write(path, contents).map_err(|error| Failure::io("cannot write", path, &error))
}
