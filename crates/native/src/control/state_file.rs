//! The file in which changes survive restarts.
//!
//! It is replaced atomically, and synchronized before a change is confirmed. Another process that
//! uses the same file, such as the successor of this one during a restart, reads what this one
//! wrote: each keeps its changes in memory, merges those of the file and writes what the file
//! lacks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
#[cfg(unix)]
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value};
use tunnel_balancer_state::control::Control;
use tunnel_balancer_tokio::host::read_regular;

use crate::log;

/// The file, and what it was when it was last read or written.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    sections: Arc<Sections>,
    seen: Option<Stamp>,
}

/// What other parts of the proxy store in the file, such as pending notifications.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    all: Mutex<Map<String, Value>>,
    /// Whether one of them is not stored yet.
    is_changed: AtomicBool,
}

impl Sections {
    /// Returns the section with a name.
    pub(crate) fn get(&self, name: &str) -> Option<Value> {
        self.lock().get(name).cloned()
    }

    /// Replaces a section. It is stored within about a second.
    pub(crate) fn set(&self, name: &str, value: Value) {
        if self.lock().insert(name.to_owned(), value.clone()) != Some(value) {
            self.is_changed.store(true, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Map<String, Value>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What distinguishes two versions of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    #[cfg(unix)]
    inode: u64,
    modified: Option<SystemTime>,
    size: u64,
}

impl StateFile {
    /// A larger file is not one of ours.
    const MAX_BYTES: usize = 16 * 1024 * 1024;
    /// The format of the file. A later version of the program may read more than one.
    const VERSION: u64 = 1;

    /// Reads the file, which need not exist. An invalid one is renamed and logged.
    ///
    /// # Errors
    /// If its directory does not exist.
    pub(crate) fn open(path: &Path) -> Result<(Self, Control), String> {
        // A symbolic link keeps leading to the file.
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let directory = directory(&path);
        if !directory.is_dir() {
            return Err(format!("cannot store changes in {}: no such directory", path.display()));
        }
        if path.is_dir() {
            return Err(format!("cannot store changes in {}: it is a directory", path.display()));
        }
        let mut file = Self { path, sections: Arc::default(), seen: None };
        let control = file.poll().unwrap_or_default();
        Ok((file, control))
    }

    /// Returns the path of the file.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Returns what other parts of the proxy store in it.
    pub(crate) fn sections(&self) -> Arc<Sections> {
        Arc::clone(&self.sections)
    }

    /// Returns whether a section is not stored yet.
    pub(crate) fn has_changed_sections(&self) -> bool {
        self.sections.is_changed.load(Ordering::Relaxed)
    }

    /// Reads the file, if it is not the version that was read or written last.
    pub(crate) fn poll(&mut self) -> Option<Control> {
        let stamp = fs::metadata(&self.path).ok().map(|metadata| Stamp::of(&metadata));
        if stamp == self.seen {
            return None;
        }
        self.seen = stamp;
        if stamp.is_none() {
            // It was removed: it is written again.
            return Some(Control::default());
        }
        match self.read() {
            Ok((control, sections)) => {
                let mut known = self.sections.lock();
                sections.into_iter().for_each(|(name, value)| _ = known.entry(name).or_insert(value));
                Some(control)
            }
            Err(error) => {
                log::state_file_failed(&self.name(), &self.set_aside(&error));
                self.seen = None;
                Some(Control::default())
            }
        }
    }

    /// Replaces the file.
    ///
    /// # Errors
    /// If it cannot be written. The previous one is kept.
    pub(crate) async fn save(&mut self, control: &Control) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("cannot write {}: {error}", self.path.display());
        self.sections.is_changed.store(false, Ordering::Relaxed);
        let mut sections = self.sections.lock().clone();
        match serde_json::to_value(control) {
            Ok(Value::Object(control)) => sections.extend(control),
            Ok(_) => {}
            Err(error) => return Err(failed(&error)),
        }
        sections.insert("version".to_owned(), Self::VERSION.into());
        let text = Value::Object(sections).to_string();
        let path = self.path.clone();
        let written = tokio::task::spawn_blocking(move || replace(&path, text.as_bytes())).await;
        match written.unwrap_or_else(|error| Err(io::Error::other(error))) {
            Ok(stamp) => {
                self.seen = Some(stamp);
                Ok(())
            }
            Err(error) => {
                self.sections.is_changed.store(true, Ordering::Relaxed);
                Err(failed(&error))
            }
        }
    }

    fn read(&self) -> Result<(Control, Map<String, Value>), String> {
        let bytes = read_regular(&self.path, Self::MAX_BYTES + 1).map_err(|error| error.to_string())?;
        if bytes.len() > Self::MAX_BYTES {
            return Err(format!("it is larger than {} bytes", Self::MAX_BYTES));
        }
        let value: Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
        match value.get("version").and_then(Value::as_u64) {
            Some(Self::VERSION) => {}
            Some(version) => return Err(format!("expected version {}, found {version}", Self::VERSION)),
            None => return Err("missing field `version`".to_owned()),
        }
        let control = serde_json::from_value(value.clone()).map_err(|error| error.to_string())?;
        let Value::Object(mut sections) = value else { return Err("expected an object".to_owned()) };
        sections.retain(|name, _| !matches!(name.as_str(), "version" | "overrides" | "history"));
        Ok((control, sections))
    }

    /// Renames the file, so that it is not overwritten. Returns what to log.
    fn set_aside(&self, error: &str) -> String {
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".invalid-{seconds}"));
        let aside = PathBuf::from(name);
        match fs::rename(&self.path, &aside) {
            Ok(()) => format!("{error}: it was renamed to {}, and no change is in force", aside.display()),
            Err(renaming) => format!("{error}; it cannot be renamed: {renaming}"),
        }
    }
}

impl Stamp {
    fn of(metadata: &fs::Metadata) -> Self {
        Self {
            #[cfg(unix)]
            inode: metadata.ino(),
            modified: metadata.modified().ok(),
            size: metadata.len(),
        }
    }
}

/// Writes a new file beside `path`, and renames it.
fn replace(path: &Path, contents: &[u8]) -> io::Result<Stamp> {
    let mut name = path.to_owned().into_os_string();
    name.push(format!(".new-{}", std::process::id()));
    let new = PathBuf::from(name);
    let written = write_new(&new, contents).and_then(|stamp| fs::rename(&new, path).map(|()| stamp));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    // The new name is on the disk, too. Not all file systems support this.
    let _ = File::open(directory(path)).and_then(|directory| directory.sync_all());
    written
}

fn write_new(path: &Path, contents: &[u8]) -> io::Result<Stamp> {
    let mut options = OpenOptions::new();
    #[cfg(unix)]
    options.mode(0o600);
    let mut file = options.write(true).create(true).truncate(true).open(path)?;
    file.write_all(contents)?;
    file.sync_all()?;
    Ok(Stamp::of(&file.metadata()?))
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_core::{Server, Service};
    use tunnel_balancer_state::control::{Action, Command};

    use super::*;

    fn control(comment: &str) -> Control {
        let servers = ["a", "b"].map(|name| Server::new(format!("{name}.example").parse().unwrap()));
        let command = Command {
            service: Some("app.test".to_owned()),
            server: Some("a".to_owned()),
            comment: Some(comment.to_owned()),
            ..Command::new(Action::Drain)
        };
        let mut control = Control::default();
        control.run(&command, &[Service::new("app.test", servers.to_vec()).unwrap()], 1).unwrap();
        control
    }

    fn in_directory(test: impl AsyncFnOnce(&Path)) {
        let directory = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(test(directory.path()));
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> = entries.map(|it| it.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_saved_file_is_read_again() {
        in_directory(async |directory| {
            let path = directory.join("state.json");
            let (mut first, empty) = StateFile::open(&path).unwrap();
            assert_eq!((empty, first.poll()), (Control::default(), None));
            first.save(&control("x")).await.unwrap();
            assert_eq!(first.poll(), None, "its own version");
            let (mut second, read) = StateFile::open(&path).unwrap();
            assert_eq!(read, control("x"));
            second.save(&control("longer")).await.unwrap();
            assert_eq!(first.poll(), Some(control("longer")));
            assert_eq!(names(directory), ["state.json"]);
            fs::remove_file(&path).unwrap();
            assert_eq!(first.poll(), Some(Control::default()));
        });
    }

    #[test]
    fn sections_of_others_are_kept() {
        in_directory(async |directory| {
            let path = directory.join("state.json");
            fs::write(&path, r#"{"version":1,"notifications":{"x":[1]},"overrides":[]}"#).unwrap();
            let (mut file, _) = StateFile::open(&path).unwrap();
            assert_eq!(file.sections().get("notifications").unwrap()["x"][0], 1);
            file.sections().set("other", Value::Bool(true));
            assert!(file.has_changed_sections());
            file.save(&control("x")).await.unwrap();
            assert!(!file.has_changed_sections());
            let json: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            assert_eq!(json["notifications"]["x"][0], 1);
            assert_eq!(json["other"], true);
            assert_eq!(json["overrides"].as_array().map(Vec::len), Some(1));
        });
    }

    #[test]
    fn an_invalid_file_is_kept_aside() {
        for contents in ["", "{", "[]", "{}", r#"{"version":2}"#, r#"{"version":1,"overrides":[{}]}"#] {
            in_directory(async |directory| {
                let path = directory.join("state.json");
                fs::write(&path, contents).unwrap();
                let (mut file, control) = StateFile::open(&path).unwrap();
                assert_eq!(control, Control::default(), "{contents}");
                file.save(&control).await.unwrap();
                let names = names(directory);
                assert!(names.len() == 2 && names[1].starts_with("state.json.invalid-"), "{names:?}");
                assert_eq!(fs::read_to_string(directory.join(&names[1])).unwrap(), contents);
            });
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_symbolic_link_is_followed_and_directories_are_refused() {
        in_directory(async |directory| {
            let (target, link) = (directory.join("target.json"), directory.join("link.json"));
            fs::write(&target, r#"{"version":1}"#).unwrap();
            std::os::unix::fs::symlink(&target, &link).unwrap();
            let (mut file, _) = StateFile::open(&link).unwrap();
            file.save(&control("x")).await.unwrap();
            assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
            assert!(fs::read_to_string(&target).unwrap().contains("drain"));
            assert!(StateFile::open(directory).unwrap_err().ends_with("it is a directory"));
            let missing = directory.join("missing").join("state.json");
            assert!(StateFile::open(&missing).unwrap_err().ends_with("no such directory"));
        });
    }

    #[test]
    fn a_failed_write_keeps_the_previous_file() {
        in_directory(async |directory| {
            let path = directory.join("state.json");
            let (mut file, _) = StateFile::open(&path).unwrap();
            file.save(&control("x")).await.unwrap();
            let blocked = directory.join(format!("state.json.new-{}", std::process::id()));
            fs::create_dir(&blocked).unwrap();
            let error = file.save(&control("y")).await.unwrap_err();
            assert!(error.starts_with("cannot write ") && error.contains("state.json"), "{error}");
            let (_, read) = StateFile::open(&path).unwrap();
            assert_eq!(read, control("x"));
        });
    }
}
