//! `tunnel-balancer man`: the help of every command as manual pages.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_mangen::Man;

use crate::output;

/// Print the manual pages of this program and all its commands (roff), one after the other.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer man | man -l -
  tunnel-balancer man --directory /usr/local/share/man/man1

Exit codes: 0 printed or written; 1 cannot write; 2 mistakes in the command.")]
pub(crate) struct ManPages {
    /// Write a file for each page into this directory instead: tunnel-balancer.1,
    /// tunnel-balancer-serve.1 and so on. The directory is made if it is not there; files of these
    /// names are replaced.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl ManPages {
    /// `command` is the whole program.
    pub(crate) fn run(self, mut command: Command) -> ExitCode {
        // Which adds `help` and, to each command, the names of those above it.
        command = command.disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        let source = format!("{} {}", command.get_name(), command.get_version().unwrap_or_default());
        collect(&command, &source, &mut pages);
        let Some(directory) = self.directory else {
            return output::print(&pages.into_iter().map(|(_, page)| page).collect::<String>());
        };
        // What stands in the way of it is told by the first file that cannot be written.
        let _ = std::fs::create_dir_all(&directory);
        for (file, page) in pages {
            if let Err(error) = output::write(&directory.join(file), &page, true) {
                eprintln!("error: {error}");
                return ExitCode::FAILURE;
            }
        }
        ExitCode::SUCCESS
    }
}

/// The pages of a command and of those below it, with the names of their files. `source` is where
/// they come from.
fn collect(command: &Command, source: &str, pages: &mut Vec<(String, String)>) {
    let man = Man::new(command.clone()).source(source).manual("Tunnel Balancer");
    let mut page = Vec::new();
    // Writing into memory does not fail.
    let _ = man.render(&mut page);
    pages.push((man.get_filename(), String::from_utf8_lossy(&page).into_owned()));
    command.get_subcommands().filter(|command| !command.is_hide_set()).for_each(|it| collect(it, source, pages));
}
