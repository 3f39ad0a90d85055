//! Progress on standard error, of commands that take longer than two seconds.

use std::io::{IsTerminal as _, stderr};

use crate::output;

/// Prints a line, which replaces the previous one on a terminal.
pub(crate) fn show(line: &str) {
    let line = output::escaped(&line.replace('\n', " "));
    if stderr().is_terminal() { eprint!("\r{line}\x1b[K") } else { eprintln!("{line}") }
}

/// Removes the last line from a terminal.
pub(crate) fn end() {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}
