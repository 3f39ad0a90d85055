//! Programs from the crate registry, compiled once per machine into the cache.

use std::path::PathBuf;
use std::process::Command;

use crate::cache::Cache;
use crate::failure::Failure;
use crate::files;
use crate::process::{announce, run};

/// A program of a crate.
#[derive(Debug)]
pub(crate) struct Tool<'v> {
    package: &'static str,
    program: &'static str,
    version: &'v str,
    /// Whether the crate's own lock file is used.
    locked: bool,
}

impl<'v> Tool<'v> {
    /// Checks dependencies.
    pub(crate) const CARGO_DENY: Self =
        Tool { package: "cargo-deny", program: "cargo-deny", version: "0.20.2", locked: true };

    /// Changes the source in small ways and runs the tests on each change.
    pub(crate) const CARGO_MUTANTS: Self =
        Tool { package: "cargo-mutants", program: "cargo-mutants", version: "27.1.0", locked: true };

    /// Renders the documentation.
    pub(crate) const MDBOOK: Self = Tool { package: "mdbook", program: "mdbook", version: "0.5.4", locked: true };

    /// Renders the diagrams of the documentation.
    pub(crate) const MDBOOK_MERMAID: Self =
        Tool { package: "mdbook-mermaid", program: "mdbook-mermaid", version: "0.17.1", locked: true };

    /// Generates the JavaScript around the wasm. The version must be that of the locked library.
    pub(crate) fn wasm_bindgen(version: &'v str) -> Self {
        // The lock file of 0.2.130 names a version that the crate registry does not have.
        Tool { package: "wasm-bindgen-cli", program: "wasm-bindgen", version, locked: false }
    }

    /// Returns the program's path, after compiling it if it is missing. Cargo locks the directories
    /// and installs the program as its last step, so an interrupted run leaves none.
    pub(crate) fn provide(&self, cache: &Cache) -> Result<PathBuf, Failure> {
        let root = cache.entry(&format!("{}-{}", self.package, self.version));
        let program = root.join("bin").join(format!("{}{}", self.program, std::env::consts::EXE_SUFFIX));
        if program.is_file() {
            return Ok(program);
        }
        announce(&format!("compiling {} {} (about a minute, once per machine)", self.package, self.version));
        files::create(&root)?;
        let target = root.join("target");
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(&root)
            .args(["install", self.package, "--version", self.version, "--bin", self.program, "--root"])
            .arg(&root)
            // The programs run for seconds, and optimizing them takes minutes.
            .args(["--profile", "dev"])
            .args(self.locked.then_some("--locked"))
            .env("CARGO_PROFILE_DEV_DEBUG", "none")
            .env("CARGO_TARGET_DIR", &target);
        run(&mut cargo)?;
        files::remove(&target)?;
        Ok(program)
    }
}
