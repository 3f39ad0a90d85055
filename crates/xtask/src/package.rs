//! The packages of the libraries, for the crate registry.

use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::failure::Failure;
use crate::files;
use crate::libraries::{Library, libraries};
use crate::process::run;
use crate::workspace::Workspace;

/// Packs all libraries, and builds each from its packed files.
///
/// They are named, because `cargo package --workspace` also packs packages that are not published.
/// Those depend on each other, and cargo 1.95 searches the dependencies of a package among the
/// published ones alone: "no matching package named `tunnel-balancer-tests` found". `cargo publish
/// --workspace` skips them.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let libraries = libraries(workspace)?;
    let named: Vec<_> = libraries.iter().flat_map(|library| ["-p", &library.name]).collect();
    forget_sources(&libraries)?;
    if workspace.cargo_target().join("package").exists() {
        run(workspace.cargo(&["clean", "--quiet"]).args(&named))?;
    }
    // The files of a checkout are packed as they are, changed or not.
    run(workspace.cargo(&["package", "--allow-dirty", "--all-features"]).args(&named))
}

/// Removes the sources that cargo has unpacked: it takes a library for unchanged while it has the
/// same version.
fn forget_sources(libraries: &[Library]) -> Result<(), Failure> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(Path::new(&env::var_os("HOME")?).join(".cargo")));
    let registries = home.and_then(|home| fs::read_dir(home.join("registry/src")).ok());
    for registry in registries.into_iter().flatten().flatten() {
        // The name of a registry in a directory has no host before the hyphen.
        if !registry.file_name().to_string_lossy().starts_with('-') {
            continue;
        }
        let sources = |library: &Library| registry.path().join(format!("{}-{}", library.name, library.version));
        for sources in libraries.iter().map(sources).filter(|sources| sources.exists()) {
            files::remove(&sources)?;
        }
    }
    Ok(())
}
