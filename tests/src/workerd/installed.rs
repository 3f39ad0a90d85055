//! The workerd that npm has installed.

use std::env;
use std::path::PathBuf;

use super::{WORKERD, root};

/// Returns the workerd below a directory of npm packages.
pub(super) fn installed(packages: &str) -> Result<PathBuf, String> {
    let program = root().join(packages).join(format!("@cloudflare/{}/bin/workerd", package()?));
    if program.is_file() {
        Ok(program)
    } else {
        Err(format!("no workerd at {}: run `npm ci` first", program.display()))
    }
}

/// Returns the npm package of workerd for this machine.
fn package() -> Result<&'static str, String> {
    match (env::consts::OS, env::consts::ARCH) {
        ("linux", "x86_64") => Ok("workerd-linux-64"),
        ("linux", "aarch64") => Ok("workerd-linux-arm64"),
        ("macos", "x86_64") => Ok("workerd-darwin-64"),
        ("macos", "aarch64") => Ok("workerd-darwin-arm64"),
        (os, arch) => Err(format!("no workerd is published for {os} on {arch}; set {WORKERD} to its path")),
    }
}
