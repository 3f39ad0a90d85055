//! The tools from npm: wrangler, workerd, miniflare, esbuild and binaryen, in the versions of
//! package-lock.json.

use std::process::Command;

use serde_json::Value;

use crate::cache::Cache;
use crate::failure::Failure;
use crate::process::{announce, capture, run};
use crate::workspace::Workspace;

/// The oldest Node that wrangler supports.
const OLDEST_NODE: u32 = 20;

/// Makes node_modules agree with package-lock.json, and returns Node's version.
///
/// `npm ci` removes node_modules first, and wrangler, which runs `cargo xtask build`, is in there.
/// So it runs only if a package is missing or has another version.
pub(crate) fn provide(workspace: &Workspace, cache: &Cache) -> Result<String, Failure> {
    let node = node_version()?;
    if difference(workspace)?.is_none() {
        return Ok(node);
    }
    let _lock = cache.lock("npm-packages")?;
    if let Some(reason) = difference(workspace)? {
        announce(&format!("npm ci, because {reason} (about 15 seconds)"));
        run(command().current_dir(workspace.root()).args(["ci", "--no-audit", "--no-fund"]))?;
    }
    match difference(workspace)? {
        None => Ok(node),
        Some(reason) => Err(Failure::new(format!("npm ci succeeded, but {reason}"))
            .hint("if package.json and package-lock.json differ, run `npm install`")),
    }
}

/// Returns the command `npm`, without arguments.
pub(crate) fn command() -> Command {
    Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" })
}

fn node_version() -> Result<String, Failure> {
    let version = capture(Command::new("node").arg("--version"));
    let hint = format!("install Node {OLDEST_NODE} or newer (nodejs.org, or the package `nodejs` of your system)");
    let version = version.map_err(|_| Failure::new("Node is not installed").hint(&hint))?;
    match major(&version) {
        Some(major) if major >= OLDEST_NODE => Ok(version),
        _ => Err(Failure::new(format!("Node {version} is too old")).hint(hint)),
    }
}

fn major(version: &str) -> Option<u32> {
    version.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// Returns a difference between the installed packages and the lock file.
fn difference(workspace: &Workspace) -> Result<Option<String>, Failure> {
    let lock = serde_json::from_str(&workspace.read("package-lock.json")?)
        .map_err(|error| Failure::new(format!("package-lock.json: {error}")))?;
    let installed = workspace.read("node_modules/.package-lock.json").unwrap_or_default();
    Ok(compare(&lock, &serde_json::from_str(&installed).unwrap_or_default()))
}

/// Compares two lock files. Optional packages may be missing: most are binaries for other machines.
fn compare(lock: &Value, installed: &Value) -> Option<String> {
    let Some(installed) = installed["packages"].as_object() else {
        return Some("node_modules is not installed".to_owned());
    };
    let expected = lock["packages"].as_object()?.iter().filter(|(path, _)| path.starts_with("node_modules/"));
    expected.into_iter().find_map(|(path, expected)| {
        let name = path.trim_start_matches("node_modules/");
        let is_optional = expected["optional"] == true || expected["devOptional"] == true;
        match installed.get(path) {
            Some(found) if found["integrity"] == expected["integrity"] => None,
            Some(_) => Some(format!("{name} is installed in another version")),
            None if is_optional => None,
            None => Some(format!("{name} is not installed")),
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn compared(installed: &Value) -> Option<String> {
        let lock = json!({ "packages": {
            "": { "devDependencies": { "esbuild": "0.28.2" } },
            "node_modules/@esbuild/aix-ppc64": { "integrity": "sha512-AIX", "optional": true },
            "node_modules/esbuild": { "integrity": "sha512-ES" },
        }});
        compare(&lock, installed)
    }

    #[test]
    fn optional_packages_may_be_missing() {
        let installed = json!({ "packages": { "node_modules/esbuild": { "integrity": "sha512-ES" } } });
        assert_eq!(compared(&installed), None);
    }

    #[test]
    fn missing_and_different_packages_are_named() {
        assert_eq!(compared(&Value::Null).as_deref(), Some("node_modules is not installed"));
        let old = json!({ "packages": { "node_modules/esbuild": { "integrity": "sha512-OLD" } } });
        assert_eq!(compared(&old).as_deref(), Some("esbuild is installed in another version"));
        let other = json!({ "packages": { "node_modules/undici": { "integrity": "sha512-ES" } } });
        assert_eq!(compared(&other).as_deref(), Some("esbuild is not installed"));
    }

    #[test]
    fn node_versions_are_parsed() {
        assert_eq!(major("v20.20.2"), Some(20));
        assert_eq!(major("20"), None);
    }
}
