//! The packages of the libraries, for the crate registry.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::Value;

use crate::failure::Failure;
use crate::process::{capture, run};
use crate::workspace::Workspace;

/// Packs all libraries, and builds each from its packed files.
///
/// They are named, because `cargo package --workspace` also packs packages that are not published.
/// Those depend on each other, and cargo 1.95 searches the dependencies of a package among the
/// published ones alone: "no matching package named `tunnel-balancer-tests` found". `cargo publish
/// --workspace` skips them.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let metadata = capture(&mut workspace.cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| Failure::new(format!("`cargo metadata`: {error}")))?;
    let (mut named, mut directories) = (Vec::new(), Vec::new());
    for package in metadata["packages"].as_array().into_iter().flatten() {
        // `publish = false` is an empty list of registries.
        if let (true, Some(name)) = (package["publish"].is_null(), package["name"].as_str()) {
            named.extend(["-p", name]);
            directories.push(format!("{name}-{}", package["version"].as_str().unwrap_or_default()));
        }
    }
    forget_sources(&directories)?;
    let packed = Path::new(metadata["target_directory"].as_str().unwrap_or("target")).join("package");
    if packed.exists() {
        run(workspace.cargo(&["clean", "--quiet"]).args(&named))?;
    }
    // The files of a checkout are packed as they are, changed or not.
    run(workspace.cargo(&["package", "--allow-dirty", "--all-features"]).args(&named))
}

/// Removes the sources that cargo has unpacked: it takes a library for unchanged while it has the
/// same version.
fn forget_sources(directories: &[String]) -> Result<(), Failure> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    let registries = home.and_then(|home| fs::read_dir(home.join("registry/src")).ok());
    for registry in registries.into_iter().flatten().flatten() {
        // The name of a registry in a directory has no host before the hyphen.
        if !registry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        for sources in directories.iter().map(|name| registry.path().join(name)).filter(|sources| sources.exists()) {
            fs::remove_dir_all(&sources).map_err(|error| Failure::io("cannot remove", &sources, &error))?;
        }
    }
    Ok(())
}
