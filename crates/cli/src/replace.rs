//! Files that are edited in place.

use std::fs;
use std::io::{Error, Write};
use std::path::Path;

/// Replaces the content of a file at once, so that no reader sees a part of it. Permissions, owner
/// and a symbolic link to the file are kept. A new file is created.
pub(crate) fn replace(path: &Path, text: &str) -> Result<(), String> {
    let written = match fs::canonicalize(path) {
        Ok(target) => replace_existing(&target, text),
        Err(_) => fs::write(path, text),
    };
    written.map_err(|error| format!("error: cannot write {}: {error}", path.display()))
}

fn replace_existing(path: &Path, text: &str) -> Result<(), Error> {
    let directory = path.parent().unwrap_or_else(|| Path::new("."));
    let metadata = fs::metadata(path)?;
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
    use std::os::unix::fs::{PermissionsExt, symlink};

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
}
