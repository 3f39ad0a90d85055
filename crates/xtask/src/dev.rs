//! The Worker on this machine with demo servers. The demo is a program of the tests crate, which
//! has servers and workerd.

use std::process::Command;

use crate::cli::BuildOptions;
use crate::failure::Failure;
use crate::worker;
use crate::workspace::Workspace;

/// Builds the Worker and becomes the demo.
pub(crate) fn dev(workspace: &Workspace, port: Option<u16>) -> Result<(), Failure> {
    worker::build(workspace, &BuildOptions::default())?;
    let mut demo = workspace.cargo(&["run", "--quiet", "-p", "tunnel-balancer-tests", "--bin", "demo", "--"]);
    if let Some(port) = port {
        demo.args(["--port", &port.to_string()]);
    }
    become_process(&mut demo)
}

/// Replaces this process, so that Ctrl-C and the exit code are those of the demo.
#[cfg(unix)]
fn become_process(command: &mut Command) -> Result<(), Failure> {
    use std::os::unix::process::CommandExt;
    let error = command.exec();
    Err(Failure::new(format!("cannot start `{}`: {error}", crate::process::display(command))))
}

#[cfg(not(unix))]
fn become_process(command: &mut Command) -> Result<(), Failure> {
    crate::process::run(command)
}
