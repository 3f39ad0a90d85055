//! Debian's packages: how any are installed, and those for Rust on wasm (the compiler, its source
//! and a linker). See [`crate::debian`] for what becomes of them.

use std::path::Path;
use std::process::Command;

use crate::cache::Cache;
use crate::failure::Failure;
use crate::process::{announce, capture, on_path, run, succeeds};
use crate::target::WASM;

/// Debian's compiler.
pub(crate) const RUSTC: &str = "/usr/bin/rustc";
/// Debian's cargo.
pub(crate) const CARGO: &str = "/usr/bin/cargo";
/// Its linker for wasm; `rust-lld`, which rustc looks for by itself, is in none of the packages.
pub(crate) const LINKER: &str = "/usr/bin/wasm-ld-19";

/// The source of the standard library, where `-Zbuild-std` looks for it.
const SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";
const PACKAGES: [&str; 4] = ["rustc-web", "cargo-web", "rust-web-src", "lld-19"];

/// Installs the packages for Rust on wasm where files of them are missing.
pub(crate) fn provide(cache: &Cache) -> Result<(), Failure> {
    let otherwise = || {
        Failure::new(format!(
            "no way to get the Rust standard library for {WASM}: rustup could not add it, and this is no Debian machine"
        ))
        .hint(format!("let rustup reach its servers, then type: rustup target add {WASM}"))
    };
    install(cache, &PACKAGES, "130 MB", is_complete, otherwise)
}

/// Installs packages of about this `size` where `is_complete` says that something of them is
/// missing; `otherwise` is what to say where there is no apt-get.
pub(crate) fn install(
    cache: &Cache,
    packages: &[&str],
    size: &str,
    is_complete: impl Fn() -> bool,
    otherwise: impl FnOnce() -> Failure,
) -> Result<(), Failure> {
    if is_complete() {
        return Ok(());
    }
    if on_path("apt-get").is_none() {
        return Err(otherwise());
    }
    let as_root = as_root(packages)?;
    let _lock = cache.lock("debian-packages")?;
    if is_complete() {
        return Ok(());
    }
    announce(&format!("installing Debian's {} (about {size} to load)", packages.join(" ")));
    run(as_root().args(["apt-get", "update"]))?;
    run(as_root().args(["apt-get", "install", "-y", "--no-install-recommends"]).args(packages)).map_err(|failure| {
        failure.hint("Debian 12 has rustc-web and chromium in its security updates (bookworm-security)")
    })
}

fn is_complete() -> bool {
    [RUSTC, CARGO, LINKER, SOURCE].iter().all(|file| Path::new(file).is_file())
}

/// What starts apt-get as root without asking for a password, or what the user can do instead.
fn as_root(packages: &[&str]) -> Result<impl Fn() -> Command + use<>, Failure> {
    let is_root = capture(Command::new("id").arg("-u")).is_ok_and(|user| user == "0");
    if !is_root && !succeeds(Command::new("sudo").args(["-n", "true"])) {
        let packages = packages.join(" ");
        return Err(Failure::new(format!("Debian's {packages} are needed, and installing them needs root"))
            .hint(format!("type: sudo apt-get update && sudo apt-get install -y --no-install-recommends {packages}")));
    }
    Ok(move || {
        let mut command = Command::new(if is_root { "env" } else { "sudo" });
        if !is_root {
            command.args(["-n", "env"]);
        }
        command.arg("DEBIAN_FRONTEND=noninteractive");
        command
    })
}
