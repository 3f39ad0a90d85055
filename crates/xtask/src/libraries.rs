//! The libraries of the workspace: the packages that are published.

use serde_json::Value;

use crate::failure::Failure;
use crate::workspace::Workspace;

/// A package that is published.
pub(crate) struct Library {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The names of its features, without `default`.
    pub(crate) features: Vec<String>,
}

/// Returns the libraries of the workspace.
pub(crate) fn libraries(workspace: &Workspace) -> Result<Vec<Library>, Failure> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let library = |package: &Value| Library {
        name: text(&package["name"]),
        version: text(&package["version"]),
        features: package["features"]
            .as_object()
            .map_or_else(Vec::new, |features| features.keys().filter(|name| *name != "default").cloned().collect()),
    };
    // `publish = false` is an empty list of registries.
    Ok(workspace.packages()?.iter().filter(|package| package["publish"].is_null()).map(library).collect())
}
