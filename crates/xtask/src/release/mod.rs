//! What a release has: an archive for each target, their checksums, and the root file system of the
//! container image.

mod archive;
mod contents;
mod rootfs;
mod target;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest as _, Sha256};

use crate::failure::Failure;
use crate::files;
use crate::process::{announce, capture, run};
use crate::workspace::Workspace;

use self::target::Target;

#[cfg(test)]
pub(crate) use self::archive::Archive;

/// The name of the program.
const PROGRAM: &str = "tunnel-balancer";

/// The folder of the archives, below the root of the repository.
const OUTPUT: &str = "target/release-archives";

/// What to build.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ReleaseOptions {
    /// The targets; if empty, the one of this machine.
    pub(crate) targets: Vec<String>,
    /// The folder of a root file system, which is built instead of archives.
    pub(crate) rootfs: Option<PathBuf>,
}

/// Builds the archives of all targets and their checksums, or a root file system.
pub(crate) fn release(workspace: &Workspace, options: &ReleaseOptions) -> Result<(), Failure> {
    let targets = Target::selected(&options.targets)?;
    if let Some(directory) = &options.rootfs {
        return match &targets[..] {
            [target] => rootfs(workspace, target, directory),
            _ => Err(Failure::usage("expected one --target for --rootfs")),
        };
    }
    let output = workspace.root().join(OUTPUT);
    files::create(&output)?;
    for target in &targets {
        let program = build(workspace, target)?;
        let name = format!("{PROGRAM}-{}-{}", workspace.version()?, target.triple());
        let archive = contents::collect(workspace, &program, &name)?;
        let path = output.join(format!("{name}.tar.gz"));
        archive.write(&path, timestamp(workspace)?)?;
        announce(&format!("{}: {} KB", path.display(), kilobytes(&path)?));
    }
    write_checksums(&output, &workspace.version()?)
}

/// Runs the root file system of the container image in a chroot, with the commands of the
/// Dockerfile.
pub(crate) fn test_rootfs(workspace: &Workspace) -> Result<(), Failure> {
    let directory = workspace.root().join("target/rootfs");
    rootfs(workspace, &Target::of_machine()?, &directory)?;
    rootfs::check_size(&directory)?;
    run(Command::new("node").current_dir(workspace.root()).arg("tests/container/main.mjs").arg(&directory))
}

/// Builds a static program and the root file system of the container image around it.
fn rootfs(workspace: &Workspace, target: &Target, directory: &Path) -> Result<(), Failure> {
    if !target.is_linux() {
        return Err(Failure::usage(format!("a container image needs a target of Linux, found {}", target.triple())));
    }
    let program = build(workspace, target)?;
    rootfs::assemble(workspace, &program, directory)?;
    announce(&format!("{}: the root file system of the container image", directory.display()));
    Ok(())
}

/// Builds the program for a target, and checks that it starts on any machine of that target.
fn build(workspace: &Workspace, target: &Target) -> Result<PathBuf, Failure> {
    announce(&format!("building {PROGRAM} for {target} (some minutes the first time)"));
    let mut cargo = workspace.cargo(&["build", "--locked", "--profile", "dist", "--package", PROGRAM]);
    cargo.args(["--target", target.triple()]);
    target.apply(&mut cargo, workspace.root());
    run(&mut cargo)?;
    let program = workspace.cargo_target().join(target.triple()).join("dist").join(target.file_name(PROGRAM));
    target.check_static(&program)?;
    Ok(program)
}

/// Returns the time of all files in the archives: that of the commit, so that two builds of it have
/// the same bytes.
fn timestamp(workspace: &Workspace) -> Result<u64, Failure> {
    let time = capture(&mut workspace.git(&["log", "-1", "--format=%ct"]))?;
    time.parse().map_err(|_| Failure::new(format!("`git log` printed no time: {time}")))
}

/// Writes the checksums of all archives of a version, as `sha256sum --check` reads them.
fn write_checksums(directory: &Path, version: &str) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| Failure::io("cannot read", directory, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(cannot)? {
        names.push(entry.map_err(cannot)?.file_name().to_string_lossy().into_owned());
    }
    names.retain(|name| name.starts_with(&format!("{PROGRAM}-{version}-")) && name.ends_with(".tar.gz"));
    names.sort();
    let mut sums = String::new();
    for name in names {
        let path = directory.join(&name);
        let bytes = fs::read(&path).map_err(|error| Failure::io("cannot read", &path, &error))?;
        let hash: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        sums.push_str(&format!("{hash}  {name}\n"));
    }
    let path = directory.join("SHA256SUMS");
    files::write(&path, &sums)?;
    print!("{sums}");
    Ok(())
}

fn kilobytes(path: &Path) -> Result<u64, Failure> {
    let metadata = fs::metadata(path).map_err(|error| Failure::io("cannot read", path, &error))?;
    Ok(metadata.len().div_ceil(1024))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_one_version() {
        let directory = tempfile::tempdir().unwrap();
        for (name, contents) in [
            ("tunnel-balancer-1.2.3-b.tar.gz", "b"),
            ("tunnel-balancer-1.2.3-a.tar.gz", ""),
            ("tunnel-balancer-1.2.30-a.tar.gz", "x"),
            ("tunnel-balancer-1.2.3-a.tar", "x"),
        ] {
            fs::write(directory.path().join(name), contents).unwrap();
        }
        write_checksums(directory.path(), "1.2.3").unwrap();
        let expected = "\
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  tunnel-balancer-1.2.3-a.tar.gz
3e23e8160039594a33894f6564e1b1348bbd7a0088d42c4acb73eeaed59c009d  tunnel-balancer-1.2.3-b.tar.gz
";
        assert_eq!(fs::read_to_string(directory.path().join("SHA256SUMS")).unwrap(), expected);
    }
}
