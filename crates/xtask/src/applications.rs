//! Browsers and real applications before and behind the built hosts. Programs of Node drive them
//! and install what they need: `tests/browser/status.mjs`, `tests/browser/failover.mjs` and
//! `tests/apps/main.mjs`.

use std::process::Command;

use crate::cache::Cache;
use crate::cli::BuildOptions;
use crate::failure::Failure;
use crate::process::{beside_this_program, run};
use crate::worker;
use crate::workspace::Workspace;

/// Names another browser.
const CHROMIUM: &str = "TUNNEL_BALANCER_CHROMIUM";
/// The names of the browser on various systems.
const CHROMIUMS: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// Tests the status page in Chromium. The filter selects cases.
pub(crate) fn status_page(workspace: &Workspace, filter: &[String]) -> Result<(), Failure> {
    let arguments = ["--chromium".to_owned(), chromium()?];
    drive(workspace, "tests/browser/status.mjs", &[&arguments, filter].concat())
}

/// Tests JupyterLab in Chromium, while its server is killed.
pub(crate) fn browser(workspace: &Workspace) -> Result<(), Failure> {
    drive(workspace, "tests/browser/failover.mjs", &["--chromium".to_owned(), chromium()?])
}

/// Tests applications and their clients while the primary fails. The filter selects rows.
pub(crate) fn table(workspace: &Workspace, filter: &[String]) -> Result<(), Failure> {
    drive(workspace, "tests/apps/main.mjs", filter)
}

/// Builds the hosts and runs a program of Node, which would wait for the compiler without output.
fn drive(workspace: &Workspace, script: &str, arguments: &[String]) -> Result<(), Failure> {
    let cache = Cache::from_env()?;
    let _lock = cache.lock("applications")?;
    worker::build(workspace, &BuildOptions::default())?;
    run(&mut workspace.cargo(&["build", "-p", "tunnel-balancer"]))?;
    run(&mut workspace.cargo(&["build", "-p", "tunnel-balancer-tests", "--bin", "worker"]))?;
    let mut node = Command::new("node");
    node.current_dir(workspace.root()).arg(script).arg("--cache").arg(cache.entry(""));
    node.arg("--serve").arg(beside_this_program("tunnel-balancer")?);
    node.arg("--worker").arg(beside_this_program("worker")?);
    run(node.args(arguments))
}

fn chromium() -> Result<String, Failure> {
    let named = std::env::var(CHROMIUM).ok().filter(|value| !value.is_empty());
    named.or_else(|| CHROMIUMS.into_iter().find_map(installed)).ok_or_else(|| {
        Failure::new("no Chromium on the PATH")
            .hint(format!("install it (on Debian: `apt-get install chromium`), or set {CHROMIUM} to its path"))
    })
}

/// Returns the path of a program on the PATH. The driver of the browser starts it without a search.
fn installed(program: &str) -> Option<String> {
    let path = std::env::var_os("PATH")?;
    let mut files = std::env::split_paths(&path).map(|directory| directory.join(program));
    files.find(|file| file.is_file())?.into_os_string().into_string().ok()
}
