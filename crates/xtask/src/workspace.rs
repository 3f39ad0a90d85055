//! The paths of the repository, whatever the current directory is.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::failure::Failure;
use crate::process::capture;

/// The checkout that this program belongs to.
#[derive(Debug)]
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the checkout. `cargo run` sets CARGO_MANIFEST_DIR, which is right even after the
    /// checkout was moved.
    pub(crate) fn locate() -> Result<Self, Failure> {
        let package = std::env::var_os("CARGO_MANIFEST_DIR")
            .map(PathBuf::from)
            .filter(|directory| directory.ends_with("crates/xtask"))
            .unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
        let root = package.ancestors().nth(2).filter(|root| root.join("Cargo.toml").is_file());
        root.map(|root| Self { root: root.to_owned() }).ok_or_else(|| {
            Failure::new(format!("no repository around {}", package.display()))
                .hint("run `cargo xtask` inside the repository")
        })
    }

    /// Another checkout.
    #[cfg(test)]
    pub(crate) fn at(root: PathBuf) -> Self {
        Self { root }
    }

    /// Returns the root of the repository.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Cargo at the root, with these arguments.
    pub(crate) fn cargo(&self, arguments: &[&str]) -> Command {
        let mut cargo = Command::new("cargo");
        cargo.current_dir(&self.root).args(arguments);
        cargo
    }

    /// Git at the root, with these arguments.
    pub(crate) fn git(&self, arguments: &[&str]) -> Command {
        let mut git = Command::new("git");
        git.current_dir(&self.root).args(arguments);
        git
    }

    /// Returns the directory that cargo builds into.
    pub(crate) fn cargo_target(&self) -> PathBuf {
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.root.join("target"), PathBuf::from)
    }

    /// Returns the packages of the workspace, as `cargo metadata` describes them.
    pub(crate) fn packages(&self) -> Result<Vec<Value>, Failure> {
        let metadata = capture(&mut self.cargo(&["metadata", "--no-deps", "--offline", "--format-version", "1"]))?;
        let mut metadata: Value =
            serde_json::from_str(&metadata).map_err(|error| Failure::new(format!("`cargo metadata`: {error}")))?;
        match metadata["packages"].take() {
            Value::Array(packages) => Ok(packages),
            _ => Err(Failure::new("`cargo metadata` printed no packages")),
        }
    }

    /// Returns a program that npm installed.
    pub(crate) fn npm_program(&self, name: &str) -> PathBuf {
        let name = if cfg!(windows) { format!("{name}.cmd") } else { name.to_owned() };
        self.root.join("node_modules/.bin").join(name)
    }

    /// Returns the content of a file of the repository.
    pub(crate) fn read(&self, name: &str) -> Result<String, Failure> {
        let path = self.root.join(name);
        std::fs::read_to_string(&path).map_err(|error| Failure::io("cannot read", &path, &error))
    }

    /// Returns the version of all packages, in Cargo.toml.
    pub(crate) fn version(&self) -> Result<String, Failure> {
        let manifest = self.read("Cargo.toml")?;
        let version = manifest.lines().find_map(|line| line.strip_prefix("version = \"")?.strip_suffix('"'));
        version.map(str::to_owned).ok_or_else(|| Failure::new("Cargo.toml: missing version"))
    }
}
