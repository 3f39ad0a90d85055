//! Files that are edited in place.

use std::fs::{self, OpenOptions};
use std::io::{Error, Write};
use std::path::Path;

use crate::input::is_stdio;

/// Checks that a file can be edited in place: a regular file, a link to one, or a new file. A read
/// of anything else, such as a named pipe, could block.
pub(crate) fn check_editable(path: &Path) -> Result<(), String> {
    if is_stdio(path) {
        return Err("error: cannot edit standard output\n  hint: name a file; `./-` is one named `-`".to_owned());
    }
    let kind = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => "it is a directory",
        Ok(metadata) if !metadata.is_file() => "it is not a regular file",
        _ => return Ok(()),
    };
    Err(format!("error: cannot edit {}: {kind}", path.display()))
}

/// Replaces the content of a file at once, so that no reader sees a part of it. Permissions, owner
/// and a symbolic link to the file are kept. A new file is created.
///
/// # Errors
/// Also if the file is read-only for this user, although its directory is not.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), String> {
    check_editable(path)?;
    let written = match fs::canonicalize(path) {
        Ok(target) => replace_existing(&target, text),
        Err(_) => fs::write(path, text),
    };
    written.map_err(|error| format!("error: cannot write {}: {error}", path.display()))
}

fn replace_existing(path: &Path, text: &str) -> Result<(), Error> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let metadata = OpenOptions::new().write(true).open(path)?.metadata()?;
    let mut file = tempfile::Builder::new().prefix(".tunnel-balancer-").tempfile_in(directory)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(metadata.permissions())?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt, chown};
        let own = file.as_file().metadata()?;
        if (own.uid(), own.gid()) != (metadata.uid(), metadata.gid()) {
            chown(file.path(), Some(metadata.uid()), Some(metadata.gid()))?;
        }
    }
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn permissions_and_links_are_kept() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("file"), directory.path().join("link"));
        replace(&file, "new").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&file, &link).unwrap();
        replace(&link, "newer").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "newer");
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        let error = replace(Path::new("nowhere/file"), "").unwrap_err();
        assert!(error.starts_with("error: cannot write nowhere/file: "), "{error}");
    }

    #[test]
    fn only_regular_files_are_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let (socket, link) = (directory.path().join("socket"), directory.path().join("link"));
        let _listener = UnixListener::bind(&socket).unwrap();
        symlink(&socket, &link).unwrap();
        for path in [&socket, &link] {
            let error = replace(path, "new").unwrap_err();
            assert_eq!(error, format!("error: cannot edit {}: it is not a regular file", path.display()));
        }
        assert!(fs::metadata(&link).unwrap().file_type().is_socket());
        let error = replace(directory.path(), "new").unwrap_err();
        assert!(error.ends_with(": it is a directory"), "{error}");
        let error = replace(Path::new("-"), "new").unwrap_err();
        assert!(error.starts_with("error: cannot edit standard output\n  hint: "), "{error}");
    }

    #[test]
    fn a_read_only_file_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("file");
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
        // The superuser may write every file.
        let is_superuser = OpenOptions::new().write(true).open(&file).is_ok();
        assert_eq!(replace(&file, "new").is_ok(), is_superuser);
        assert_eq!(fs::read_to_string(&file).unwrap(), if is_superuser { "new" } else { "old" });
    }
}
