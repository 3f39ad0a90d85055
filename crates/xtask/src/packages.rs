//! The npm packages: the Worker and the command line for users without Rust.
//!
//! `tunnel-balancer` has the Worker and a launcher, and depends on one package for each platform
//! with the program. `create-tunnel-balancer` makes `npm create tunnel-balancer` work.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::cache::Cache;
use crate::cli::{BuildOptions, NpmOptions};
use crate::failure::Failure;
use crate::files;
use crate::npm;
use crate::process::{announce, run};
use crate::worker;
use crate::workspace::Workspace;

/// A platform of the program, in the words of Node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Platform {
    os: &'static str,
    cpu: &'static str,
}

impl Platform {
    /// The platforms with a package.
    pub(crate) const ALL: [Self; 5] = [
        Self { os: "darwin", cpu: "arm64" },
        Self { os: "darwin", cpu: "x64" },
        Self { os: "linux", cpu: "arm64" },
        Self { os: "linux", cpu: "x64" },
        Self { os: "win32", cpu: "x64" },
    ];

    /// Returns the platform of a target of Rust, such as `x86_64-unknown-linux-musl`.
    pub(crate) fn of_target(target: &str) -> Option<Self> {
        let cpu = if target.starts_with("x86_64-") { "x64" } else { "arm64" };
        let os = [("linux", "linux"), ("apple-darwin", "darwin"), ("windows", "win32")];
        let os = os.into_iter().find(|(part, _)| target.contains(part))?.1;
        Self::ALL.into_iter().find(|it| (it.os, it.cpu) == (os, cpu))
    }

    /// Returns the platform of this machine.
    fn of_this_machine() -> Result<Self, Failure> {
        let (cpu, os) = (std::env::consts::ARCH, std::env::consts::OS);
        let target = format!("{cpu}-{}", if os == "macos" { "apple-darwin" } else { os });
        Self::of_target(&target).ok_or_else(|| Failure::new(format!("no npm package is made for {target}")))
    }

    fn package(self) -> String {
        format!("tunnel-balancer-{}-{}", self.os, self.cpu)
    }

    fn program(self) -> &'static str {
        if self.os == "win32" { "tunnel-balancer.exe" } else { "tunnel-balancer" }
    }
}

/// Makes the packages of the Worker and of the program for this machine.
pub(crate) fn npm(workspace: &Workspace, options: &NpmOptions) -> Result<(), Failure> {
    let platform = Platform::of_this_machine()?;
    let built = |profile: &str| (platform, workspace.cargo_target().join(profile).join(platform.program()));
    if options.folders {
        return folders(workspace, &[built("debug")]);
    }
    worker::build(workspace, &BuildOptions::default())?;
    let out = options.out.clone().unwrap_or_else(|| workspace.root().join("target/npm"));
    // npm runs in the folders of the packages.
    let out = std::path::absolute(&out).map_err(|error| Failure::io("cannot use", &out, &error))?;
    if !options.programs.is_empty() {
        return pack(workspace, &options.programs, &out);
    }
    announce("building the program (some minutes the first time)");
    run(&mut workspace.cargo(&["build", "--release", "-p", "tunnel-balancer"]))?;
    pack(workspace, &[built("release")], &out)
}

/// Makes the packages, and deploys with them in a chroot. Prints how long a user waits.
pub(crate) fn journey(workspace: &Workspace) -> Result<(), Failure> {
    npm(workspace, &NpmOptions::default())?;
    let cache = Cache::from_env()?;
    let _lock = cache.lock("journey")?;
    let mut node = Command::new("node");
    node.current_dir(workspace.root()).args(["tests/journey/main.mjs", "--packages", "target/npm", "--cache"]);
    run(node.arg(cache.entry("")))
}

/// Packs the Worker as it is built, and these programs, into tarballs in `out`.
fn pack(workspace: &Workspace, programs: &[(Platform, PathBuf)], out: &Path) -> Result<(), Failure> {
    folders(workspace, programs)?;
    files::create(out)?;
    for name in names(programs) {
        let mut npm = npm::command();
        npm.current_dir(folder(workspace, &name)).args(["pack", "--silent", "--pack-destination"]).arg(out);
        run(&mut npm)?;
    }
    announce(&format!("packed into {}", out.display()));
    Ok(())
}

/// Creates the folders of the packages in `target/npm-packages/node_modules`, so that Node finds
/// each one from the others.
fn folders(workspace: &Workspace, programs: &[(Platform, PathBuf)]) -> Result<(), Failure> {
    let root = workspace.root();
    for name in names(programs) {
        let folder = folder(workspace, &name);
        files::remove(&folder)?;
        for license in ["LICENSE-APACHE", "LICENSE-MIT"] {
            files::copy(&root.join(license), &folder.join(license))?;
        }
    }
    for name in SOURCES {
        copy_all(&root.join("npm").join(name), &folder(workspace, name), |_| true)?;
    }
    let main = folder(workspace, SOURCES[0]);
    // The other files of this directory are in the build.
    for file in ["index.js", "index.d.ts"] {
        files::copy(&root.join("crates/worker/js").join(file), &main.join("worker/js").join(file))?;
    }
    for file in ["index.js", "index_bg.wasm"] {
        files::copy(&root.join("crates/worker/build").join(file), &main.join("worker/build").join(file))
            .map_err(|failure| failure.hint("run `cargo xtask build`"))?;
    }
    copy_all(&root.join("schema"), &main.join("schema"), |_| true)?;
    copy_all(&root.join("examples"), &main.join("examples"), |path| path.extension().is_some_and(|it| it == "yaml"))?;
    programs.iter().try_for_each(|(platform, program)| platform_folder(workspace, *platform, program))
}

/// Creates the package of a platform.
fn platform_folder(workspace: &Workspace, platform: Platform, program: &Path) -> Result<(), Failure> {
    let folder = folder(workspace, &platform.package());
    let copied = folder.join("bin").join(platform.program());
    files::copy(program, &copied).map_err(|failure| failure.hint("run `cargo build -p tunnel-balancer`"))?;
    let size = fs::metadata(&copied).map_err(|error| Failure::io("cannot read", &copied, &error))?.len();
    let package = json!({
        "name": platform.package(),
        "version": env!("CARGO_PKG_VERSION"),
        "description": format!("The program of tunnel-balancer for {} on {}", platform.os, platform.cpu),
        "license": "MIT OR Apache-2.0",
        "os": [platform.os],
        "cpu": [platform.cpu],
        // The launcher compares it, as the system may run a part of a program.
        "programSize": size,
        "files": ["LICENSE-*", "bin"],
    });
    let readme = format!("# {}\n\nThe program of the package tunnel-balancer for one platform.\n", platform.package());
    for (name, text) in [("package.json", format!("{package:#}\n")), ("README.md", readme)] {
        files::write(&folder.join(name), text)?;
    }
    Ok(())
}

/// The packages with a folder below `npm`.
const SOURCES: [&str; 2] = ["tunnel-balancer", "create-tunnel-balancer"];

fn names(programs: &[(Platform, PathBuf)]) -> impl Iterator<Item = String> {
    SOURCES.into_iter().map(str::to_owned).chain(programs.iter().map(|(platform, _)| platform.package()))
}

fn folder(workspace: &Workspace, package: &str) -> PathBuf {
    workspace.root().join("target/npm-packages/node_modules").join(package)
}

/// Copies the selected files of a directory.
fn copy_all(from: &Path, to: &Path, is_selected: fn(&Path) -> bool) -> Result<(), Failure> {
    let unreadable = |error: std::io::Error| Failure::io("cannot read", from, &error);
    for entry in fs::read_dir(from).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let target = to.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            copy_all(&path, &target, is_selected)?;
        } else if is_selected(&path) {
            files::copy(&path, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_of_rust_have_the_platforms_of_node() {
        let package = |target: &str| Platform::of_target(target).map(Platform::package);
        assert_eq!(package("x86_64-unknown-linux-musl").as_deref(), Some("tunnel-balancer-linux-x64"));
        assert_eq!(package("aarch64-apple-darwin").as_deref(), Some("tunnel-balancer-darwin-arm64"));
        assert_eq!(package("x86_64-pc-windows-gnu").as_deref(), Some("tunnel-balancer-win32-x64"));
        assert_eq!(package("aarch64-pc-windows-msvc"), None);
        assert_eq!(package("x86_64-unknown-freebsd"), None);
    }

    #[test]
    fn every_platform_is_an_optional_dependency() {
        let package: serde_json::Value =
            serde_json::from_str(include_str!("../../../npm/tunnel-balancer/package.json")).unwrap();
        let listed: Vec<&String> = package["optionalDependencies"].as_object().unwrap().keys().collect();
        assert_eq!(listed, Platform::ALL.map(Platform::package).iter().collect::<Vec<_>>());
    }
}
