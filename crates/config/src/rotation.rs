//! Whether anybody is left to serve, after all that is said about single servers.

use crate::diagnostic::Code;
use crate::problem::Problem;
use crate::server::Draft;

/// The servers of one service, all of them. What could not be read counts as not written.
pub(crate) fn check(servers: &[Draft]) -> Result<(), Problem> {
    let problem = |message, hint: &str| Err(Problem::new(Code::InvalidServers, message).hint(hint));
    let enabled = || servers.iter().filter(|server| server.enabled);
    let mut open = enabled().filter(|server| !server.drain).peekable();
    if enabled().next().is_none() {
        return problem("no server is enabled", "leave one without `enabled: false`, or take the service out");
    }
    if open.peek().is_none() {
        let hint = "such a server only keeps the clients it has: leave one without `drain`";
        return problem("every enabled server has `drain: true`", hint);
    }
    if open.all(|server| server.weight == 0) {
        let hint = "such a server gets no new traffic: give one a weight of 1 or more";
        return problem("every server that could be used has `weight: 0`", hint);
    }
    // With the others disabled or drained for a while, backups alone are what they are for.
    if servers.iter().all(|server| server.backup) {
        let hint = "a backup is used while no other server is usable: leave one without `backup`";
        return problem("every server has `backup: true`", hint);
    }
    Ok(())
}
