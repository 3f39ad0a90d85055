//! A real application in a real browser: JupyterLab behind the built Worker, used through Chromium
//! while its server is killed. `tests/browser/failover.mjs` is the test; this file prepares it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cache::{self, Cache};
use crate::cli::BuildOptions;
use crate::failure::Failure;
use crate::process::{announce, run, succeeds};
use crate::worker;
use crate::workspace::Workspace;

/// Names another browser.
const CHROMIUM: &str = "TUNNEL_BALANCER_CHROMIUM";
/// The names of the browser on various systems.
const CHROMIUMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
/// The Python packages, all of them in exact versions.
const REQUIREMENTS: &str = "tests/browser/requirements.txt";

/// Installs JupyterLab, builds the Worker and runs the test.
pub(crate) fn check(workspace: &Workspace) -> Result<(), Failure> {
    let chromium = chromium()?;
    let python = jupyter(workspace, &Cache::from_env()?)?;
    worker::build(workspace, &BuildOptions::default())?;
    // Before the test, which would wait for the compiler without output.
    run(&mut workspace.cargo(&["build", "-p", "tunnel-balancer-tests", "--bin", "worker"]))?;
    let mut node = Command::new("node");
    node.current_dir(workspace.root()).arg("tests/browser/failover.mjs");
    run(node.arg("--chromium").arg(chromium).arg("--python").arg(python))
}

fn chromium() -> Result<String, Failure> {
    let named = std::env::var(CHROMIUM).ok().filter(|value| !value.is_empty());
    let is_installed = |program: &&str| succeeds(Command::new(program).arg("--version"));
    named.or_else(|| CHROMIUMS.iter().copied().find(is_installed).map(str::to_owned)).ok_or_else(|| {
        Failure::new("no Chromium on the PATH")
            .hint(format!("install it (on Debian: `apt-get install chromium`), or set {CHROMIUM} to its path"))
    })
}

/// A Python with JupyterLab, in the cache. The copy of the requirements is written last and marks a
/// complete installation.
fn jupyter(workspace: &Workspace, cache: &Cache) -> Result<PathBuf, Failure> {
    let requirements = workspace.read(REQUIREMENTS)?;
    let environment = cache.entry("jupyterlab");
    let (python, copy) = (environment.join("bin/python"), environment.join("requirements.txt"));
    let _lock = cache.lock("jupyterlab")?;
    if std::fs::read_to_string(&copy).is_ok_and(|installed| installed == requirements) {
        return Ok(python);
    }
    cache::remove(&environment)?;
    create_environment(&environment)?;
    announce("installing JupyterLab into the cache (about 30 seconds, once per machine)");
    let mut pip = Command::new(&python);
    pip.current_dir(workspace.root())
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"])
        .args(["--only-binary=:all:", "-r", REQUIREMENTS]);
    run(&mut pip)?;
    std::fs::write(&copy, &requirements).map_err(|error| Failure::io("cannot write", &copy, &error))?;
    Ok(python)
}

fn create_environment(directory: &Path) -> Result<(), Failure> {
    let check = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))";
    if !succeeds(Command::new("python3").args(["-c", check])) {
        return Err(Failure::new("Python 3.11 or newer with the modules venv and ensurepip is not installed")
            .hint("install it (python.org, or the packages `python3` and `python3-venv` of your system)"));
    }
    run(Command::new("python3").args(["-m", "venv"]).arg(directory))
}
