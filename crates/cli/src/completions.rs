//! `tunnel-balancer completions`: what a shell has to know to complete our command lines.

use std::process::ExitCode;

use clap::{Args, Command, ValueEnum};
use clap_complete::aot::{self, generate};

use crate::output;

/// Print a script that has a shell complete this program's commands and options.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer completions bash > /etc/bash_completion.d/tunnel-balancer
  tunnel-balancer completions zsh > ~/.zfunc/_tunnel-balancer
  tunnel-balancer completions fish > ~/.config/fish/completions/tunnel-balancer.fish
  tunnel-balancer completions powershell >> $PROFILE

Exit codes: 0 printed; 2 mistakes in the command.")]
pub(crate) struct Completions {
    /// The shell.
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    Powershell,
}

impl Completions {
    /// `command` is the whole program.
    pub(crate) fn run(self, mut command: Command) -> ExitCode {
        let name = command.get_name().to_owned();
        // The names by which bash's script tells our commands apart, as it keeps them and as it
        // looks for them: with a hyphen in the program's name these differ, and nothing is
        // completed behind a command (clap-rs/clap#6421).
        let (kept, sought) = (name.replace('-', "__"), name.replace('-', "__subcmd__"));
        let mut script = Vec::new();
        match self.shell {
            Shell::Bash => generate(aot::Bash, &mut command, name, &mut script),
            Shell::Zsh => generate(aot::Zsh, &mut command, name, &mut script),
            Shell::Fish => generate(aot::Fish, &mut command, name, &mut script),
            Shell::Powershell => generate(aot::PowerShell, &mut command, name, &mut script),
        }
        let script = String::from_utf8_lossy(&script);
        output::print(&script.replace(&sought, &kept))
    }
}
