//! `tunnel-balancer man`: manual pages of all commands.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Command};
use clap_mangen::Man;

use crate::output;

/// Print the manual pages of all commands (roff).
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer man | man -l -
  tunnel-balancer man --directory /usr/local/share/man/man1

Exit codes: 0 printed or written; 1 cannot write; 2 errors in the command.")]
pub(crate) struct ManPages {
    /// Write one file per page into this directory: tunnel-balancer.1, tunnel-balancer-serve.1 and
    /// so on. The directory is created, and existing pages are replaced.
    #[arg(long, value_name = "DIRECTORY")]
    directory: Option<PathBuf>,
}

impl ManPages {
    /// Prints or writes the pages. `command` is the whole program.
    pub(crate) fn run(self, mut command: Command) -> ExitCode {
        // `build` adds the names of their parents to subcommands.
        command = command.disable_help_subcommand(true);
        command.build();
        let mut pages = Vec::new();
        let source = format!("{} {}", command.get_name(), command.get_version().unwrap_or_default());
        collect(&command, &source, &mut pages);
        let Some(directory) = self.directory else {
            return output::print(&pages.into_iter().map(|(_, page)| page).collect::<String>());
        };
        // An error is reported by the first file that cannot be written.
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

/// Collects the pages of a command and its subcommands, with their file names. `source` is the name
/// and version of the program.
fn collect(command: &Command, source: &str, pages: &mut Vec<(String, String)>) {
    let man = Man::new(command.clone()).source(source).manual("Tunnel Balancer");
    let mut page = Vec::new();
    // Writing to memory cannot fail.
    let _ = man.render(&mut page);
    pages.push((man.get_filename(), String::from_utf8_lossy(&page).into_owned()));
    command.get_subcommands().filter(|command| !command.is_hide_set()).for_each(|it| collect(it, source, pages));
}
