//! The files of an archive: the program, and what is installed with it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::failure::Failure;
use crate::files;
use crate::process::{announce, beside_this_program, run};
use crate::workspace::Workspace;

use super::PROGRAM;
use super::archive::Archive;

/// Shells, and the names under which they load a script.
const COMPLETIONS: [(&str, &str); 4] = [
    ("bash", "tunnel-balancer.bash"),
    ("zsh", "_tunnel-balancer"),
    ("fish", "tunnel-balancer.fish"),
    ("powershell", "_tunnel-balancer.ps1"),
];

/// Files of the repository.
const FILES: [&str; 4] = ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "README.md"];

/// The document that has the systemd unit, and the first line of the unit.
const UNIT: (&str, &str) = ("docs/serve.md", "# /etc/systemd/system/tunnel-balancer.service");

/// Collects the files of an archive around a program. They are unpacked into the folder `root`.
pub(crate) fn collect(workspace: &Workspace, program: &Path, root: &str) -> Result<Archive, Failure> {
    let mut archive = Archive::new(root);
    let name = program.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    archive.add_program(name, read(program)?);
    for file in FILES {
        archive.add(file, workspace.read(file)?);
    }
    for (path, contents) in examples(workspace)? {
        archive.add(path, contents);
    }
    archive.add("tunnel-balancer.service", unit(&workspace.read(UNIT.0)?)?);
    let program = runnable(workspace, program)?;
    for (shell, file) in COMPLETIONS {
        archive.add(format!("completions/{file}"), output(Command::new(&program).args(["completions", shell]))?);
    }
    for (file, page) in manual_pages(workspace, &program)? {
        archive.add(format!("man/{file}"), page);
    }
    Ok(archive)
}

/// Returns a program that runs on this machine: the built one, or one that is built for it.
fn runnable(workspace: &Workspace, program: &Path) -> Result<PathBuf, Failure> {
    if Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Ok(program.to_owned());
    }
    announce("building the command line for this machine, which prints completions and manual pages");
    run(&mut workspace.cargo(&["build", "--locked", "--package", PROGRAM]))?;
    beside_this_program(PROGRAM)
}

fn manual_pages(workspace: &Workspace, program: &Path) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let directory = workspace.root().join("target/release-manual");
    files::remove(&directory)?;
    output(Command::new(program).args(["man", "--directory"]).arg(&directory))?;
    files(&directory)?.into_iter().map(|name| Ok((name.clone(), read(&directory.join(name))?))).collect()
}

/// Returns the maps of `examples/`, and the scenarios.
fn examples(workspace: &Workspace) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let mut examples = Vec::new();
    for directory in ["examples", "examples/scenarios"] {
        let path = workspace.root().join(directory);
        let yaml = files(&path)?.into_iter().filter(|name| name.ends_with(".yaml"));
        for name in yaml {
            examples.push((format!("{directory}/{name}"), read(&path.join(name))?));
        }
    }
    Ok(examples)
}

/// Returns the systemd unit in a document.
fn unit(document: &str) -> Result<String, Failure> {
    let mut lines = document.lines().skip_while(|line| *line != UNIT.1).take_while(|line| *line != "```");
    // The first line is the path of the file.
    lines.next().ok_or_else(|| Failure::new(format!("{}: missing line `{}`", UNIT.0, UNIT.1)))?;
    Ok(lines.map(|line| format!("{line}\n")).collect())
}

/// Returns the names of the files in a directory.
fn files(directory: &Path) -> Result<Vec<String>, Failure> {
    let cannot = |error: std::io::Error| Failure::io("cannot read", directory, &error);
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(cannot)? {
        let entry = entry.map_err(cannot)?;
        if entry.file_type().map_err(cannot)?.is_file() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    Ok(names)
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    fs::read(path).map_err(|error| Failure::io("cannot read", path, &error))
}

/// Runs the program and returns its output, byte by byte.
fn output(command: &mut Command) -> Result<Vec<u8>, Failure> {
    let output = command.output().map_err(|error| Failure::new(format!("cannot start {PROGRAM}: {error}")))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(Failure::new(format!("{PROGRAM} failed: {}", String::from_utf8_lossy(&output.stderr))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unit_is_that_of_the_document() {
        let workspace = Workspace::locate().unwrap();
        let unit = unit(&workspace.read(UNIT.0).unwrap()).unwrap();
        assert!(unit.starts_with("[Unit]\n") && unit.ends_with("WantedBy=multi-user.target\n"), "{unit}");
        assert!(!unit.contains("```") && unit.contains("\nExecStart=/usr/local/bin/tunnel-balancer serve "), "{unit}");
        assert!(super::unit("").is_err());
    }

    #[test]
    fn examples_are_maps_and_scenarios() {
        let examples = examples(&Workspace::locate().unwrap()).unwrap();
        let names: Vec<&str> = examples.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"examples/two-servers.yaml"), "{names:?}");
        assert!(names.contains(&"examples/scenarios/all-keys.yaml"), "{names:?}");
    }
}
