//! The packages of the libraries, for the crate registry.

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
    // The files of a checkout are packed as they are, changed or not.
    let mut cargo = workspace.cargo(&["package", "--allow-dirty", "--all-features"]);
    for package in metadata["packages"].as_array().into_iter().flatten() {
        // `publish = false` is an empty list of registries.
        if let (true, Some(name)) = (package["publish"].is_null(), package["name"].as_str()) {
            cargo.args(["-p", name]);
        }
    }
    run(&mut cargo)
}
