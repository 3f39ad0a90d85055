//! The licences, sources and known vulnerabilities of the dependencies; deny.toml has the rules.

use std::process::Command;

use crate::cache::Cache;
use crate::failure::Failure;
use crate::process::{announce, capture, run};
use crate::test::Notes;
use crate::tools::Tool;
use crate::workspace::Workspace;

/// Checks licences, sources and bans, and advisories if their database can be loaded.
pub(crate) fn check(workspace: &Workspace) -> Result<Notes, Failure> {
    let program = Tool::CARGO_DENY.provide(&Cache::from_env()?)?;
    let deny = |arguments: &[&str]| {
        let mut command = Command::new(&program);
        command.current_dir(workspace.root()).args(arguments);
        command
    };
    run(&mut deny(&["check", "--hide-inclusion-graph", "bans", "licenses", "sources"]))?;

    announce("loading the database of known vulnerabilities");
    match capture(&mut deny(&["fetch", "db"])) {
        Ok(_) => run(&mut deny(&["check", "--disable-fetch", "advisories"])).map(|()| Notes::new()),
        Err(failure) => {
            println!("{failure}");
            Ok(vec!["NOT CHECKED: advisories: their database on GitHub could not be loaded".to_owned()])
        }
    }
}
