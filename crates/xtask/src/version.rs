//! The version of all packages, the changelog and the tag of a release, in one commit.

use std::collections::BTreeSet;
use std::fmt;
use std::time::SystemTime;

use crate::failure::Failure;
use crate::files;
use crate::process::{announce, capture, run};
use crate::workspace::Workspace;

/// The document that names the newest release.
const INSTALL: &str = "docs/install.md";

/// The heading of changes without a release.
const UNRELEASED: &str = "## Unreleased\n";

/// A version without a suffix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// Parses `X.Y.Z`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let numbers: Option<Vec<u32>> = text.split('.').map(|number| number.parse().ok()).collect();
        let version = match numbers.as_deref() {
            Some(&[major, minor, patch]) => Some(Self { major, minor, patch }),
            _ => None,
        };
        // A sign or a leading zero would be lost.
        version
            .filter(|version| version.to_string() == text)
            .ok_or_else(|| Failure::usage(format!("invalid version `{text}`, expected X.Y.Z")))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// Sets the version everywhere, dates the changelog, commits and tags. `is_dry_run` prints the
/// changes instead.
pub(crate) fn release(workspace: &Workspace, version: Version, is_dry_run: bool) -> Result<(), Failure> {
    let today = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let edits = edits(workspace, version, &today[..10])?;
    if is_dry_run {
        edits.iter().for_each(Edit::print);
        println!("commit and tag: v{version}");
        return Ok(());
    }
    check_repository(workspace, version)?;
    for edit in &edits {
        let path = workspace.root().join(&edit.file);
        files::write(&path, &edit.new)?;
    }
    run(&mut workspace.git(&["commit", "--quiet", "--all", "--message", &format!("Release {version}")]))?;
    let message = format!("Tunnel Balancer {version}");
    run(&mut workspace.git(&["tag", "--annotate", &format!("v{version}"), "--message", &message]))?;
    announce(&format!("committed and tagged v{version}; `git push --follow-tags` starts the release"));
    Ok(())
}

/// Fails if something else would be committed, or if the version is released.
fn check_repository(workspace: &Workspace, version: Version) -> Result<(), Failure> {
    let changes = capture(&mut workspace.git(&["status", "--porcelain"]))?;
    if !changes.is_empty() {
        return Err(Failure::new(format!("the checkout has changes:\n{changes}")).hint("commit or remove them first"));
    }
    let tag = format!("v{version}");
    match capture(&mut workspace.git(&["tag", "--list", &tag]))?.is_empty() {
        true => Ok(()),
        false => Err(Failure::new(format!("the tag {tag} exists")).hint("choose the next version")),
    }
}

/// A file with its new content.
#[derive(Debug)]
struct Edit {
    file: String,
    old: String,
    new: String,
}

impl Edit {
    /// Prints the new lines, each once.
    fn print(&self) {
        let old: BTreeSet<&str> = self.old.lines().collect();
        let new: BTreeSet<&str> = self.new.lines().filter(|line| !old.contains(line)).collect();
        new.iter().for_each(|line| println!("{}: {line}", self.file));
    }
}

fn edits(workspace: &Workspace, version: Version, date: &str) -> Result<Vec<Edit>, Failure> {
    let old = workspace.version()?;
    if version <= Version::parse(&old)? && !is_first(workspace)? {
        return Err(Failure::usage(format!("version {version} is not newer than {old}")));
    }
    let mut files = ["Cargo.toml", "CHANGELOG.md", INSTALL].map(str::to_owned).to_vec();
    let patterns = ["Cargo.lock", "*/Cargo.lock", "npm/package.json", "npm/**/package.json"];
    let found = capture(workspace.git(&["ls-files", "--"]).args(patterns))?;
    files.extend(found.lines().map(str::to_owned));
    let members = members(workspace)?;
    let edit = |file: String| {
        let text = workspace.read(&file)?;
        let new = match file.as_str() {
            "Cargo.toml" => manifest(&text, &old, version),
            "CHANGELOG.md" => changelog(&text, version, date)?,
            INSTALL => text.replace(&old, &version.to_string()),
            file if file.ends_with(".lock") => lock_file(&text, &members, &old, version),
            _ => npm_package(&text, &old, version),
        };
        Ok(Edit { file, old: text, new })
    };
    let edits = files.into_iter().map(edit).collect::<Result<Vec<_>, Failure>>()?;
    Ok(edits.into_iter().filter(|edit| edit.old != edit.new).collect())
}

/// Returns whether there is no release yet: the first one may have the version of the manifest.
fn is_first(workspace: &Workspace) -> Result<bool, Failure> {
    capture(&mut workspace.git(&["tag", "--list", "v*"])).map(|tags| tags.is_empty())
}

/// The manifest of the workspace: its packages inherit the version, and depend on each other.
fn manifest(text: &str, old: &str, version: Version) -> String {
    let [old, new] = [old.to_owned(), version.to_string()].map(|version| format!("version = \"{version}\""));
    let is_own = |line: &str| line.starts_with(&old) || line.contains("path = \"");
    let line = |line: &str| if is_own(line) { line.replace(&old, &new) } else { line.to_owned() };
    text.split_inclusive('\n').map(line).collect()
}

/// Returns the names of the packages of the workspace.
fn members(workspace: &Workspace) -> Result<Vec<String>, Failure> {
    let packages = workspace.packages()?;
    Ok(packages.iter().filter_map(|package| package["name"].as_str().map(str::to_owned)).collect())
}

/// A lock file, which may belong to another workspace that uses packages of this one.
fn lock_file(text: &str, members: &[String], old: &str, version: Version) -> String {
    members.iter().fold(text.to_owned(), |text, name| {
        let package = |version: &str| format!("\nname = \"{name}\"\nversion = \"{version}\"\n");
        text.replace(&package(old), &package(&version.to_string()))
    })
}

/// A package of npm: its version, and those of the packages that are released with it.
fn npm_package(text: &str, old: &str, version: Version) -> String {
    let is_own = |key: &str| key == "version" || key.starts_with("tunnel-balancer") || key == "create-tunnel-balancer";
    let version = version.to_string();
    // A key, a colon and a value are three parts.
    let mut parts: Vec<&str> = text.split('"').collect();
    for index in 2..parts.len() {
        if parts[index] == old && parts[index - 1].trim() == ":" && is_own(parts[index - 2]) {
            parts[index] = &version;
        }
    }
    parts.join("\"")
}

/// Moves the changes under a heading with the version and the date.
fn changelog(text: &str, version: Version, date: &str) -> Result<String, Failure> {
    let missing = || Failure::new("CHANGELOG.md has no changes below `## Unreleased`");
    let (before, changes) = text.split_once(UNRELEASED).ok_or_else(missing)?;
    let end = changes.find("\n## ").unwrap_or(changes.len());
    if changes[..end].trim().is_empty() {
        return Err(missing());
    }
    Ok(format!("{before}{UNRELEASED}\n## {version} ({date})\n{changes}"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use super::*;

    /// A clone of this repository, which a test may change.
    fn clone(directory: &std::path::Path) -> Option<Workspace> {
        let workspace = Workspace::locate().unwrap();
        if !workspace.root().join(".git").exists() {
            println!("NOT CHECKED: the release of a clone: the sources are no git repository");
            return None;
        }
        let clone = directory.join("clone");
        capture(workspace.git(&["clone", "--quiet", "--no-tags", "."]).arg(&clone)).unwrap();
        let clone = Workspace::at(clone);
        for (key, value) in [("user.name", "Test"), ("user.email", "test@example.com"), ("commit.gpgsign", "false")] {
            capture(&mut clone.git(&["config", key, value])).unwrap();
        }
        Some(clone)
    }

    #[test]
    fn a_release_of_a_clone_is_one_commit_with_a_tag() {
        let directory = tempfile::tempdir().unwrap();
        let Some(clone) = clone(directory.path()) else { return };
        let head = capture(&mut clone.git(&["rev-parse", "HEAD"])).unwrap();
        let version = Version::parse("7.8.9").unwrap();
        release(&clone, version, true).unwrap();
        assert_eq!(capture(&mut clone.git(&["status", "--porcelain"])).unwrap(), "", "a dry run");
        release(&clone, version, false).unwrap();
        assert_eq!(capture(&mut clone.git(&["rev-parse", "v7.8.9^{commit}~"])).unwrap(), head);
        assert_eq!(capture(&mut clone.git(&["log", "-1", "--format=%s"])).unwrap(), "Release 7.8.9");
        assert_eq!(capture(&mut clone.git(&["status", "--porcelain"])).unwrap(), "");
        assert_eq!(clone.version().unwrap(), "7.8.9");
        // Cargo would change a lock file that does not agree with the manifests. The packages of
        // other platforms may not be downloaded.
        let host = capture(Command::new("rustc").args(["--print", "host-tuple"])).unwrap();
        let metadata = ["metadata", "--locked", "--offline", "--quiet", "--format-version", "1", "--filter-platform"];
        capture(clone.cargo(&metadata).arg(host)).unwrap();
        let again = release(&clone, Version::parse("7.9.0").unwrap(), false).unwrap_err().to_string();
        assert_eq!(again, "error: CHANGELOG.md has no changes below `## Unreleased`");
    }

    #[test]
    fn a_changed_checkout_and_an_existing_tag_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let Some(clone) = clone(directory.path()) else { return };
        let version = Version::parse("7.8.9").unwrap();
        fs::write(clone.root().join("new"), "").unwrap();
        let failure = release(&clone, version, false).unwrap_err().to_string();
        assert!(failure.starts_with("error: the checkout has changes:\n?? new\n"), "{failure}");
        fs::remove_file(clone.root().join("new")).unwrap();
        capture(&mut clone.git(&["tag", "v7.8.9"])).unwrap();
        let failure = release(&clone, version, false).unwrap_err().to_string();
        assert!(failure.starts_with("error: the tag v7.8.9 exists"), "{failure}");
        let failure = release(&clone, Version::parse("0.0.1").unwrap(), false).unwrap_err().to_string();
        assert!(failure.starts_with("error: version 0.0.1 is not newer than "), "{failure}");
    }

    #[test]
    fn versions_have_three_numbers() {
        assert_eq!(Version::parse("1.20.3").unwrap().to_string(), "1.20.3");
        assert!(Version::parse("1.2.10").unwrap() > Version::parse("1.2.9").unwrap());
        for text in ["", "1.2", "1.2.3.4", "v1.2.3", "1.2.x", "1.2.+3", "1.02.3"] {
            let expected = format!("error: invalid version `{text}`, expected X.Y.Z");
            assert_eq!(Version::parse(text).unwrap_err().to_string(), expected);
        }
    }

    #[test]
    fn changes_get_the_version_and_the_date() {
        let version = Version::parse("1.2.3").unwrap();
        let text = "# Changelog\n\n## Unreleased\n\n- New.\n\n## 1.2.2 (2026-01-01)\n\n- Old.\n";
        let expected =
            "# Changelog\n\n## Unreleased\n\n## 1.2.3 (2026-02-03)\n\n- New.\n\n## 1.2.2 (2026-01-01)\n\n- Old.\n";
        assert_eq!(changelog(text, version, "2026-02-03").unwrap(), expected);
        assert!(changelog(expected, version, "2026-02-03").is_err());
    }

    #[test]
    fn only_own_packages_are_changed() {
        let version = Version::parse("1.2.3").unwrap();
        let lock = |own: &str| {
            let other = "[[package]]\nname = \"other\"\nversion = \"0.1.0\"\n";
            format!("version = 4\n\n{other}\n[[package]]\nname = \"own\"\nversion = \"{own}\"\n")
        };
        assert_eq!(lock_file(&lock("0.1.0"), &["own".to_owned()], "0.1.0", version), lock("1.2.3"));
        let package = |own: &str| {
            format!(
                r#"{{ "version": "{own}",
                "dependencies": {{ "tunnel-balancer": "{own}", "other": "0.1.0" }},
                "optionalDependencies": {{ "tunnel-balancer-linux-x64": "{own}" }} }}"#
            )
        };
        assert_eq!(npm_package(&package("0.1.0"), "0.1.0", version), package("1.2.3"));
    }
}
