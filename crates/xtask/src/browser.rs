//! A real application in a real browser: JupyterLab behind the built Worker, used through Chromium
//! while its server is killed. The test itself is `tests/browser/failover.mjs`; here is what it
//! needs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::apt;
use crate::cache::Cache;
use crate::cli::BuildOptions;
use crate::failure::Failure;
use crate::process::{announce, on_path, run, succeeds};
use crate::worker;
use crate::workspace::Workspace;

/// Names another browser.
const CHROMIUM: &str = "TUNNEL_BALANCER_CHROMIUM";
/// What it is called on various systems.
const CHROMIUMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// What is installed, all of it, in exact versions.
const REQUIREMENTS: &str = "tests/browser/requirements.txt";

/// Runs the test, after installing what it needs and, when all of that is there, building the
/// Worker.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let cache = Cache::from_env()?;
    let chromium = chromium(&cache)?;
    let python = jupyter(workspace, &cache)?;
    worker::build(workspace, &BuildOptions::default())?;
    // Before the test, which would otherwise wait for the compiler in silence.
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace.root()).args(["build", "-p", "tunnel-balancer-tests", "--bin", "worker"]);
    run(&mut cargo)?;
    let mut node = Command::new("node");
    node.current_dir(workspace.root()).arg("tests/browser/failover.mjs");
    run(node.arg("--chromium").arg(chromium).arg("--python").arg(python))
}

fn chromium(cache: &Cache) -> Result<PathBuf, Failure> {
    if let Some(named) = std::env::var_os(CHROMIUM).filter(|value| !value.is_empty()) {
        return Ok(named.into());
    }
    let find = || CHROMIUMS.into_iter().find_map(on_path);
    let otherwise = || {
        Failure::new("no Chromium on the PATH, and no apt-get to install it")
            .hint(format!("install Chromium or Chrome, and name its program in {CHROMIUM}"))
    };
    apt::install(cache, &["chromium"], "100 MB", || find().is_some(), otherwise)?;
    find().ok_or_else(|| Failure::new("Debian's chromium is installed, but there is no `chromium` on the PATH"))
}

/// A Python that has JupyterLab, in the cache.
fn jupyter(workspace: &Workspace, cache: &Cache) -> Result<PathBuf, Failure> {
    let requirements = workspace.read(REQUIREMENTS)?;
    let version = requirements
        .lines()
        .find_map(|line| line.strip_prefix("jupyterlab==")?.split_whitespace().next())
        .ok_or_else(|| Failure::new(format!("{REQUIREMENTS} does not say which jupyterlab")))?;
    let is_complete = |entry: &Path| {
        let installed = std::fs::read_to_string(entry.join("requirements.txt"));
        installed.is_ok_and(|installed| installed == requirements)
            && succeeds(python(entry).args(["-c", "import jupyterlab"]))
    };
    let entry = cache.provide(&format!("jupyterlab-{version}"), is_complete, |partial| {
        create_environment(cache, partial)?;
        announce(&format!("installing JupyterLab {version} into the cache (usually 30 seconds, once per machine)"));
        let mut pip = python(partial);
        pip.current_dir(workspace.root())
            .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"])
            .args(["--only-binary=:all:", "-r", REQUIREMENTS]);
        run(&mut pip)
            .map_err(|failure| failure.hint("is the Python package registry reachable? The lines above say more"))?;
        // Last, because it says that all of it is there.
        let copy = partial.join("requirements.txt");
        std::fs::write(&copy, &requirements).map_err(|error| Failure::io("cannot write", &copy, &error))
    })?;
    Ok(program(&entry))
}

fn create_environment(cache: &Cache, directory: &Path) -> Result<(), Failure> {
    let wanted = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
    let is_there = || succeeds(Command::new("python3").args(["-c", wanted]));
    let missing = || {
        Failure::new("Python 3.11 or newer with its modules venv and ensurepip is not there")
            .hint("install it (python.org, or your system's packages `python3` and `python3-venv`), then try again")
    };
    apt::install(cache, &["python3", "python3-venv"], "10 MB", is_there, missing)?;
    if !is_there() {
        return Err(missing());
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(directory))
}

/// Only the interpreter survives that the directory is renamed: the programs beside it name the old
/// one.
fn program(environment: &Path) -> PathBuf {
    environment.join("bin/python")
}

fn python(environment: &Path) -> Command {
    Command::new(program(environment))
}
