//! The Rust toolchain of wasm builds: the one in use, or the one in the cache that
//! `tools/debian-wasm-toolchain.sh` builds. Everything native keeps the toolchain in use.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::Cache;
use crate::failure::Failure;
use crate::process::{announce, capture};

/// The target of the Worker.
pub(crate) const WASM_TARGET: &str = "wasm32-unknown-unknown";

/// A toolchain that can build for [`WASM_TARGET`].
#[derive(Debug)]
pub(crate) struct WasmToolchain {
    /// Its programs; `None` for the toolchain in use.
    bin: Option<PathBuf>,
}

impl WasmToolchain {
    /// Finds a toolchain, or adds the target through rustup.
    pub(crate) fn provide(cache: &Cache) -> Result<Self, Failure> {
        if let Some(found) = Self::find(cache) {
            return Ok(found);
        }
        announce(&format!("rustup target add {WASM_TARGET} (about 20 MB)"));
        let added = capture(Command::new("rustup").args(["target", "add", WASM_TARGET]));
        Self::find(cache).ok_or_else(|| {
            let cause = added.err().map(|failure| format!("\n{failure}")).unwrap_or_default();
            Failure::new(format!("missing Rust target {WASM_TARGET}{cause}"))
                .hint("on Debian, tools/debian-wasm-toolchain.sh builds it from packages")
        })
    }

    fn find(cache: &Cache) -> Option<Self> {
        let bin = cache.entry("wasm-toolchain/bin");
        if has_target(Path::new("rustc"), WASM_TARGET) {
            Some(Self { bin: None })
        } else {
            has_target(&bin.join("rustc"), WASM_TARGET).then_some(Self { bin: Some(bin) })
        }
    }

    /// Returns the toolchain's cargo.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(self.bin.as_ref().map_or_else(|| "cargo".into(), |bin| bin.join("cargo")));
        self.apply(&mut cargo);
        cargo
    }

    /// Makes a command and its children use this toolchain.
    pub(crate) fn apply(&self, command: &mut Command) {
        let Some(bin) = &self.bin else { return };
        let path = std::env::var_os("PATH").unwrap_or_default();
        if let Ok(path) = std::env::join_paths(std::iter::once(bin.clone()).chain(std::env::split_paths(&path))) {
            command.env("PATH", path);
        }
        // rustup passes the toolchain in use to its children.
        command.env("RUSTC", bin.join("rustc")).env("CARGO", bin.join("cargo")).env_remove("RUSTUP_TOOLCHAIN");
    }
}

impl fmt::Display for WasmToolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.bin {
            None => write!(f, "the toolchain in use"),
            Some(bin) => write!(f, "{}", bin.display()),
        }
    }
}

/// Returns whether a compiler has the standard library for a target.
pub(crate) fn has_target(rustc: &Path, target: &str) -> bool {
    let printed = capture(Command::new(rustc).args(["--print", "target-libdir", "--target", target]));
    let files = printed.ok().and_then(|directory| std::fs::read_dir(directory).ok());
    files.is_some_and(|files| files.flatten().any(|file| file.file_name().to_string_lossy().starts_with("libcore-")))
}
