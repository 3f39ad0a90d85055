//! A Rust toolchain for wasm, made from Debian's packages: for machines that can reach Debian and
//! the crate registry, but not the servers rustup loads from.
//!
//! Debian ships the compiler and the source of its standard library, but no wasm build of it. So we
//! build that once (`-Zbuild-std`, which needs RUSTC_BOOTSTRAP) and put a small toolchain directory
//! into the cache:
//!
//! ```text
//! debian-rust-1.96.0/bin/rustc    a shell wrapper: Debian's rustc, with this directory as its sysroot
//!                    bin/cargo -> /usr/bin/cargo
//!                    lib/rustlib/<host> -> /usr/lib/rustlib/<host>
//!                    lib/rustlib/wasm32-unknown-unknown/lib/*.rlib
//! ```
//!
//! Nothing is written to /usr, and no rustup toolchain is linked, so that other projects see no
//! difference. The name carries the compiler's version: after an upgrade of the packages a new
//! directory is made, because a compiler reads only libraries of its own version.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt::{self, CARGO, LINKER, RUSTC};
use crate::cache::{self, Cache};
use crate::failure::Failure;
use crate::process::{announce, capture, run};
use crate::target::{WASM, target_is_installed};

const LIBRARIES: &str = "/usr/lib/rustlib";
/// The `worker` crate asks for this version.
const OLDEST_MINOR: u32 = 91;

/// The toolchain in the cache.
#[derive(Debug)]
pub(crate) struct DebianRust {
    directory: PathBuf,
    version: String,
}

impl DebianRust {
    /// Makes a command, and whatever it starts, use this toolchain.
    pub(crate) fn apply(&self, command: &mut Command) {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let directories = std::iter::once(self.directory.join("bin")).chain(std::env::split_paths(&path));
        if let Ok(path) = std::env::join_paths(directories) {
            command.env("PATH", path);
        }
        command
            .env("RUSTC", self.rustc())
            .env("CARGO", self.cargo())
            .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", LINKER);
        leave_rustup(command);
    }

    /// The toolchain's cargo.
    pub(crate) fn cargo(&self) -> PathBuf {
        self.directory.join("bin/cargo")
    }

    fn rustc(&self) -> PathBuf {
        self.directory.join("bin/rustc")
    }
}

impl fmt::Display for DebianRust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rustc {} of Debian, in {}", self.version, self.directory.display())
    }
}

/// The toolchain, if it was made before and still fits the installed packages.
pub(crate) fn find(cache: &Cache) -> Option<DebianRust> {
    let version = installed_version()?;
    let directory = cache.entry(&name(&version));
    is_complete(&directory).then_some(DebianRust { directory, version })
}

/// The toolchain; installs the packages and makes it where necessary.
pub(crate) fn provide(cache: &Cache) -> Result<DebianRust, Failure> {
    apt::provide(cache)?;
    let version = installed_version().ok_or_else(|| {
        Failure::new(format!("{RUSTC} is missing or older than 1.{OLDEST_MINOR}"))
            .hint("the Worker needs a newer Rust: install rustup, or upgrade Debian")
    })?;
    let name = name(&version);
    let entry = cache.entry(&name);
    let directory = cache.provide(&name, is_complete, |partial| make(partial, &entry))?;
    Ok(DebianRust { directory, version })
}

fn name(version: &str) -> String {
    format!("debian-rust-{version}")
}

fn is_complete(directory: &Path) -> bool {
    let rustc = directory.join("bin/rustc");
    rustc.is_file() && target_is_installed(&rustc)
}

/// The version of Debian's compiler, if there is one and it is new enough.
fn installed_version() -> Option<String> {
    if !Path::new(RUSTC).is_file() {
        return None;
    }
    let printed = capture(debian(Command::new(RUSTC).arg("--version"))).ok()?;
    usable_version(&printed).map(str::to_owned)
}

/// The version in `rustc 1.96.0 (…)`, if the Worker can be built by it.
fn usable_version(printed: &str) -> Option<&str> {
    let version = printed.strip_prefix("rustc ")?.split_whitespace().next()?;
    let mut numbers = version.split('.').map(|number| number.parse::<u32>().unwrap_or(0));
    let (major, minor) = (numbers.next()?, numbers.next()?);
    ((major, minor) >= (1, OLDEST_MINOR)).then_some(version)
}

/// Builds the standard library and lays out the toolchain in `partial`, for use at `entry`.
fn make(partial: &Path, entry: &Path) -> Result<(), Failure> {
    announce(&format!(
        "building the standard library for {WASM} with Debian's Rust (usually 40 seconds, once per machine)"
    ));
    let stub = partial.join("stub");
    let built = build_std(&stub)?;

    let wasm = partial.join("lib/rustlib").join(WASM).join("lib");
    cache::create(&wasm)?;
    copy_libraries(&built, &wasm)?;
    cache::remove(&stub)?;

    let host = host()?;
    link(&Path::new(LIBRARIES).join(&host), &partial.join("lib/rustlib").join(&host))?;
    let bin = partial.join("bin");
    cache::create(&bin)?;
    link(Path::new(CARGO), &bin.join("cargo"))?;
    write_program(&bin.join("rustc"), &format!("#!/bin/sh\nexec {RUSTC} --sysroot {} \"$@\"\n", quoted(entry)))
}

/// Builds std for an empty crate and returns where its libraries are.
fn build_std(stub: &Path) -> Result<PathBuf, Failure> {
    let source = stub.join("src");
    cache::create(&source)?;
    write(
        &stub.join("Cargo.toml"),
        "[package]\nname = \"stub\"\nversion = \"0.0.0\"\nedition = \"2021\"\n\n[workspace]\n",
    )?;
    write(&source.join("lib.rs"), "")?;
    let target = stub.join("target");
    let mut cargo = Command::new(CARGO);
    cargo
        .current_dir(stub)
        .args(["build", "--release", "-Zbuild-std=std,panic_abort", "--target", WASM])
        // Without bitcode in the libraries a link-time optimised build ends with "can't find
        // section .llvmbc".
        .env("RUSTFLAGS", "-Cembed-bitcode=yes")
        .env("RUSTC", RUSTC)
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target)
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER");
    run(debian(&mut cargo))?;
    Ok(target.join(WASM).join("release/deps"))
}

fn copy_libraries(from: &Path, to: &Path) -> Result<(), Failure> {
    let files = fs::read_dir(from).map_err(|error| Failure::io("cannot list", from, &error))?;
    for file in files.flatten() {
        let name = file.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".rlib") && !name.starts_with("libstub-") {
            fs::copy(file.path(), to.join(&*name)).map_err(|error| Failure::io("cannot copy", &file.path(), &error))?;
        }
    }
    Ok(())
}

/// The machine's own target, such as `x86_64-unknown-linux-gnu`.
fn host() -> Result<String, Failure> {
    let printed = capture(debian(Command::new(RUSTC).arg("-vV")))?;
    let host = printed.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::new(format!("`{RUSTC} -vV` does not name its host")))
}

/// Makes a command independent of the rustup toolchain that runs us: cargo and rustup tell their
/// children about it.
fn leave_rustup(command: &mut Command) {
    command.env_remove("RUSTUP_TOOLCHAIN").env_remove("LD_LIBRARY_PATH");
}

fn debian(command: &mut Command) -> &mut Command {
    leave_rustup(command);
    command
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|error| Failure::io("cannot write", path, &error))
}

/// A path as one word of a shell script.
fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}

#[cfg(unix)]
fn write_program(path: &Path, text: &str) -> Result<(), Failure> {
    use std::os::unix::fs::PermissionsExt;
    write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
        .map_err(|error| Failure::io("cannot make executable", path, &error))
}

#[cfg(not(unix))]
fn write_program(path: &Path, text: &str) -> Result<(), Failure> {
    write(path, text)
}

#[cfg(unix)]
fn link(to: &Path, at: &Path) -> Result<(), Failure> {
    std::os::unix::fs::symlink(to, at).map_err(|error| Failure::io("cannot link", at, &error))
}

#[cfg(not(unix))]
fn link(_to: &Path, at: &Path) -> Result<(), Failure> {
    Err(Failure::new(format!("cannot link {}: Debian only", at.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_new_enough_compilers_count() {
        for (printed, expected) in [
            ("rustc 1.96.0 (0ea1a8d8d 2026-05-25) (built from a source tarball)", Some("1.96.0")),
            ("rustc 1.91.0", Some("1.91.0")),
            ("rustc 1.63.0", None),
            ("rustc 2.0.0", Some("2.0.0")),
            ("clang 19", None),
            ("", None),
        ] {
            assert_eq!(usable_version(printed), expected, "{printed}");
        }
    }

    #[test]
    fn paths_are_quoted_for_the_shell() {
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
