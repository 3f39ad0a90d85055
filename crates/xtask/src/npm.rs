//! The tools that come from npm: wrangler, workerd, miniflare, esbuild and binaryen, pinned by
//! package-lock.json.

use std::collections::BTreeMap;
use std::process::Command;

use crate::cache::Cache;
use crate::failure::Failure;
use crate::process::{announce, capture, run};
use crate::workspace::Workspace;

/// The oldest Node that wrangler runs on.
const OLDEST_NODE: u32 = 20;

/// Makes node_modules agree with package-lock.json, and returns Node's version.
///
/// `npm ci` removes node_modules before it installs, and wrangler, which calls us, lives in there:
/// so it runs only when something is missing or of the wrong version, whoever installed it.
pub(crate) fn provide(workspace: &Workspace, cache: &Cache) -> Result<String, Failure> {
    let node = node_version()?;
    if stale(workspace)?.is_none() {
        return Ok(node);
    }
    let _lock = cache.lock("npm-packages")?;
    if let Some(reason) = stale(workspace)? {
        announce(&format!("npm ci, because {reason} (usually 15 seconds)"));
        let mut npm = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
        npm.current_dir(workspace.root()).args(["ci", "--no-audit", "--no-fund"]);
        run(&mut npm).map_err(|failure| failure.hint("is the npm registry reachable? The lines above say more"))?;
    }
    match stale(workspace)? {
        None => Ok(node),
        Some(reason) => Err(Failure::new(format!("npm ci succeeded, but still {reason}"))
            .hint("package.json and package-lock.json may disagree: `npm install` repairs that")),
    }
}

fn stale(workspace: &Workspace) -> Result<Option<String>, Failure> {
    let lock = workspace.read("package-lock.json")?;
    let installed = std::fs::read_to_string(workspace.root().join("node_modules/.package-lock.json"));
    Ok(difference(&lock, installed.as_deref().unwrap_or_default()))
}

fn node_version() -> Result<String, Failure> {
    let wanted = || {
        format!("install Node {OLDEST_NODE} or newer (nodejs.org, or your system's package `nodejs`), then try again")
    };
    let version = capture(Command::new("node").arg("--version"))
        .map_err(|_| Failure::new("Node is not installed, and wrangler needs it").hint(wanted()))?;
    match major(&version) {
        Some(major) if major >= OLDEST_NODE => Ok(version),
        _ => Err(Failure::new(format!("Node {version} is too old")).hint(wanted())),
    }
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// What npm's record of installed packages lacks of the lock file, if anything. Optional packages
/// may be missing: most of them are binaries for other machines.
fn difference(lock: &str, installed: &str) -> Option<String> {
    let installed = packages(installed);
    if installed.is_empty() {
        return Some("node_modules is not installed".to_owned());
    }
    packages(lock).into_iter().find_map(|(path, wanted)| {
        let name = path.strip_prefix("node_modules/").unwrap_or(path);
        match installed.get(path) {
            Some(found) if found.integrity == wanted.integrity => None,
            Some(_) => Some(format!("{name} is installed in another version than package-lock.json says")),
            None if wanted.optional => None,
            None => Some(format!("{name} is not installed")),
        }
    })
}

#[derive(Debug, Default)]
struct Package<'text> {
    integrity: &'text str,
    optional: bool,
}

/// The packages of a lock file by path. Reads the layout that npm writes, a field a line, which
/// spares a JSON parser.
fn packages(lock: &str) -> BTreeMap<&str, Package<'_>> {
    let mut packages = BTreeMap::new();
    let mut current = None;
    for line in lock.lines().map(str::trim) {
        if let Some(path) = key_of_object(line).filter(|key| key.starts_with("node_modules/")) {
            packages.insert(path, Package::default());
            current = Some(path);
        } else if let Some(package) = current.and_then(|path| packages.get_mut(path)) {
            if let Some(integrity) = line.strip_prefix("\"integrity\": ") {
                package.integrity = integrity.trim_matches([',', '"']);
            } else if line.starts_with("\"optional\": true") || line.starts_with("\"devOptional\": true") {
                package.optional = true;
            }
        }
    }
    packages
}

fn key_of_object(line: &str) -> Option<&str> {
    line.strip_prefix('"')?.strip_suffix("\": {")
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCK: &str = r#"{
  "lockfileVersion": 3,
  "packages": {
    "": {
      "devDependencies": {
        "esbuild": "0.28.2"
      }
    },
    "node_modules/@esbuild/aix-ppc64": {
      "version": "0.28.2",
      "integrity": "sha512-AIX",
      "cpu": [
        "ppc64"
      ],
      "optional": true,
      "engines": {
        "node": ">=18"
      }
    },
    "node_modules/esbuild": {
      "version": "0.28.2",
      "integrity": "sha512-ES",
      "bin": {
        "esbuild": "bin/esbuild"
      }
    }
  }
}"#;

    fn installed(integrity: &str) -> String {
        format!(
            "{{\n  \"packages\": {{\n    \"node_modules/esbuild\": {{\n      \"integrity\": \"{integrity}\"\n    }}\n  }}\n}}"
        )
    }

    #[test]
    fn what_agrees_is_not_stale_and_binaries_for_other_machines_may_be_missing() {
        assert_eq!(difference(LOCK, &installed("sha512-ES")), None);
    }

    #[test]
    fn what_is_missing_or_different_is_named() {
        assert_eq!(difference(LOCK, "").as_deref(), Some("node_modules is not installed"));
        assert_eq!(
            difference(LOCK, &installed("sha512-OLD")).as_deref(),
            Some("esbuild is installed in another version than package-lock.json says")
        );
        let other = installed("sha512-ES").replace("/esbuild", "/undici");
        assert_eq!(difference(LOCK, &other).as_deref(), Some("esbuild is not installed"));
    }

    #[test]
    fn node_versions_are_read() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("20"), None);
    }
}
