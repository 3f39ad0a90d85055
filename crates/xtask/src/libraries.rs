//! The libraries of the workspace: the packages that are published.

use serde_json::Value;

use crate::failure::Failure;
use crate::process::capture;
use crate::workspace::Workspace;

/// A package that is published.
pub(crate) struct Library {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The names of its features, without `default`.
    pub(crate) features: Vec<String>,
}

/// Asks cargo for the libraries.
pub(crate) fn libraries(workspace: &Workspace) -> Result<Vec<Library>, Failure> {
    let metadata = capture(&mut workspace.cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    let metadata: Value =
        serde_json::from_str(&metadata).map_err(|error| Failure::new(format!("`cargo metadata`: {error}")))?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let library = |package: &Value| Library {
        name: text(&package["name"]),
        version: text(&package["version"]),
        features: package["features"]
            .as_object()
            .map_or_else(Vec::new, |features| features.keys().filter(|name| *name != "default").cloned().collect()),
    };
    // `publish = false` is an empty list of registries.
    let packages = metadata["packages"].as_array().into_iter().flatten().filter(|package| package["publish"].is_null());
    Ok(packages.map(library).collect())
}
