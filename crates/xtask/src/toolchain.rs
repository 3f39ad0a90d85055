//! The Rust toolchain for wasm builds.
//!
//! Ordinarily that is the one in use, after `rustup target add wasm32-unknown-unknown`. Where
//! rustup's servers cannot be reached it is one of our own making (see [`crate::debian`]), used for
//! wasm only: everything native keeps the toolchain in use.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::Cache;
use crate::debian::{self, DebianRust};
use crate::failure::Failure;
use crate::process::{announce, capture, on_path};
use crate::target::{WASM, target_is_installed};

/// A toolchain that can build for [`WASM`].
#[derive(Debug)]
pub(crate) enum WasmToolchain {
    /// The one in use.
    InUse(String),
    /// The one made from Debian's packages.
    Debian(DebianRust),
}

impl WasmToolchain {
    /// Finds one, or installs one, in the order of least surprise: what is there, rustup, Debian.
    pub(crate) fn provide(cache: &Cache) -> Result<Self, Failure> {
        let in_use = || capture(Command::new("rustc").arg("--version")).map(Self::InUse);
        if target_is_installed(Path::new("rustc")) {
            return in_use();
        }
        if let Some(made) = debian::find(cache) {
            return Ok(Self::Debian(made));
        }
        match add_by_rustup() {
            Ok(()) if target_is_installed(Path::new("rustc")) => in_use(),
            Ok(()) => fall_back(cache, "rustup succeeded, but rustc does not see the target"),
            Err(failure) => fall_back(cache, &failure.to_string()),
        }
    }

    /// Makes a command, and whatever it starts, use this toolchain.
    pub(crate) fn apply(&self, command: &mut Command) {
        if let Self::Debian(made) = self {
            made.apply(command);
        }
    }

    /// The toolchain's cargo.
    pub(crate) fn cargo(&self) -> PathBuf {
        match self {
            Self::InUse(_) => "cargo".into(),
            Self::Debian(made) => made.cargo(),
        }
    }
}

impl fmt::Display for WasmToolchain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(version) => write!(f, "{version}, with the {WASM} target"),
            Self::Debian(made) => made.fmt(f),
        }
    }
}

fn add_by_rustup() -> Result<(), Failure> {
    if on_path("rustup").is_none() {
        return Err(Failure::new("there is no rustup on this machine"));
    }
    announce(&format!("adding the {WASM} target: rustup target add {WASM} (about 20 MB)"));
    capture(Command::new("rustup").args(["target", "add", WASM])).map(drop)
}

fn fall_back(cache: &Cache, why: &str) -> Result<WasmToolchain, Failure> {
    announce(&format!("rustup could not provide the target. {why}"));
    debian::provide(cache).map(WasmToolchain::Debian)
}
