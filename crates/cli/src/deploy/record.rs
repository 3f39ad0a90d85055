//! The map of the last deployment from a folder: a copy beside wrangler.toml.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use crate::input;

/// A deployed map.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) yaml: String,
    /// The version of the Worker. `None`: wrangler did not report it.
    pub(super) version: Option<String>,
}

/// The folder, which git ignores by its own `.gitignore`.
const FOLDER: &str = ".tunnel-balancer";

/// The start of the first line, which is a comment of YAML.
const VERSION: &str = "# Deployed as version ";

impl Record {
    /// Returns the file of an environment.
    pub(super) fn path(config: &Path, environment: Option<&str>) -> PathBuf {
        let name = environment.map_or_else(|| "deployed.yaml".to_owned(), |name| format!("deployed-{name}.yaml"));
        config.with_file_name(FOLDER).join(name)
    }

    /// Reads a file. `None`: there is none.
    ///
    /// # Errors
    /// If it cannot be read.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, String> {
        if !path.exists() {
            return Ok(None);
        }
        let text = input::yaml(path)?;
        let with_version = text.strip_prefix(VERSION).and_then(|rest| rest.split_once('\n'));
        Ok(Some(match with_version {
            Some((version, yaml)) => Self { yaml: yaml.to_owned(), version: Some(version.trim().to_owned()) },
            None => Self { yaml: text, version: None },
        }))
    }

    /// Writes the file for this user alone, as a map may contain secrets.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(&self, path: &Path) -> Result<(), String> {
        let first = self.version.as_ref().map_or_else(String::new, |version| format!("{VERSION}{version}\n"));
        let text = first + self.yaml.trim_start_matches('\u{feff}');
        let folder = path.parent().unwrap_or(path);
        let written = || {
            fs::create_dir_all(folder)?;
            fs::write(folder.join(".gitignore"), "*\n")?;
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(text.as_bytes())?;
            file.persist(path)?;
            Ok::<_, io::Error>(())
        };
        written().map_err(|error| format!("cannot write {}: {error}", path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = Record::path(&directory.path().join("wrangler.toml"), Some("staging"));
        assert_eq!(path, directory.path().join(".tunnel-balancer").join("deployed-staging.yaml"));
        assert_eq!(Record::read(&path), Ok(None));
        for version in [Some("1-2".to_owned()), None] {
            let record = Record { yaml: "services: {}\n".to_owned(), version };
            record.write(&path).unwrap();
            assert_eq!(Record::read(&path), Ok(Some(record)));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        let ignored = fs::read_to_string(path.with_file_name(".gitignore")).unwrap();
        assert_eq!(ignored, "*\n");
        let marked = Record { yaml: "\u{feff}a: b\r\n".to_owned(), version: Some("1".to_owned()) };
        marked.write(&path).unwrap();
        assert_eq!(Record::read(&path).unwrap().unwrap().yaml, "a: b\r\n");
    }
}
