//! Programs that come as Rust crates, compiled once per machine into the cache. `worker-build`
//! would download them by itself, from servers that not every machine reaches; what we compile is
//! also what Cargo.lock asks for.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{self, Cache};
use crate::failure::Failure;
use crate::process::{announce, run};

/// A crate that provides a program.
#[derive(Debug)]
pub(crate) struct Tool<'v> {
    /// The crate's name.
    package: &'static str,
    /// The program's name.
    program: &'static str,
    /// The exact version.
    version: &'v str,
    /// Whether the crate's own lock file is used.
    locked: bool,
    /// How long compiling it takes on two cores.
    usually: &'static str,
}

impl<'v> Tool<'v> {
    /// Turns a crate into a Worker. The version must match the `worker` crate's.
    pub(crate) const WORKER_BUILD: Self = Tool {
        package: "worker-build",
        program: "worker-build",
        version: "0.8.7",
        locked: true,
        usually: "75 seconds",
    };

    /// Checks dependencies.
    pub(crate) const CARGO_DENY: Self =
        Tool { package: "cargo-deny", program: "cargo-deny", version: "0.20.2", locked: true, usually: "a minute" };

    /// Changes the source in small ways and runs the tests on each change.
    pub(crate) const CARGO_MUTANTS: Self = Tool {
        package: "cargo-mutants",
        program: "cargo-mutants",
        version: "27.1.0",
        locked: true,
        usually: "90 seconds",
    };

    /// Generates the JavaScript around the wasm. The version must be that of the locked library.
    pub(crate) fn wasm_bindgen(version: &'v str) -> Self {
        Tool {
            package: "wasm-bindgen-cli",
            program: "wasm-bindgen",
            version,
            // The lock file of 0.2.130 names a version that the crate registry does not have.
            locked: false,
            usually: "a minute",
        }
    }

    /// The program's path; compiles it where it is not there.
    pub(crate) fn provide(&self, cache: &Cache) -> Result<PathBuf, Failure> {
        let entry =
            cache.provide(&self.entry(), |entry| self.program_in(entry).is_file(), |partial| self.install(partial))?;
        Ok(self.program_in(&entry))
    }

    fn entry(&self) -> String {
        format!("{}-{}", self.package, self.version)
    }

    fn program_in(&self, entry: &Path) -> PathBuf {
        let file = format!("{}{}", self.program, std::env::consts::EXE_SUFFIX);
        entry.join("bin").join(file)
    }

    fn install(&self, partial: &Path) -> Result<(), Failure> {
        announce(&format!("compiling {} {} (usually {}, once per machine)", self.package, self.version, self.usually));
        let target = partial.join("target");
        let mut cargo = Command::new("cargo");
        cargo
            .current_dir(partial)
            .args(["install", self.package, "--version", self.version, "--bin", self.program, "--root"])
            .arg(partial)
            // They run for seconds, and optimising them would take minutes.
            .args(["--profile", "dev"])
            .env("CARGO_PROFILE_DEV_DEBUG", "none")
            .env("CARGO_TARGET_DIR", &target);
        if self.locked {
            cargo.arg("--locked");
        }
        run(&mut cargo).map_err(|failure| {
            failure.hint("the lines above say why; without a connection to the crate registry it cannot be installed")
        })?;
        cache::remove(&target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_named_by_version() {
        assert_eq!(Tool::wasm_bindgen("0.2.130").entry(), "wasm-bindgen-cli-0.2.130");
    }
}
