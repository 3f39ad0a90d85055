//! `tunnel-balancer completions`: completion scripts for shells.

use std::process::ExitCode;

use clap::{Args, Command, ValueEnum};
use clap_complete::aot::{self, generate};

use crate::output;

/// Print a completion script for a shell.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer completions bash > /etc/bash_completion.d/tunnel-balancer
  tunnel-balancer completions zsh > ~/.zfunc/_tunnel-balancer
  tunnel-balancer completions fish > ~/.config/fish/completions/tunnel-balancer.fish
  tunnel-balancer completions powershell >> $PROFILE

Exit codes: 0 printed; 1 cannot print; 2 errors in the command.")]
pub(crate) struct Completions {
    /// Shell that reads the script.
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
    /// Prints the script. `command` is the whole program.
    pub(crate) fn run(self, mut command: Command) -> ExitCode {
        let name = command.get_name().to_owned();
        // The script for bash stores and looks up commands by different names if the name of the
        // program has a hyphen, so that nothing after a command is completed
        // (clap-rs/clap#6421).
        let (stored, looked_up) = (name.replace('-', "__"), name.replace('-', "__subcmd__"));
        let mut script = Vec::new();
        match self.shell {
            Shell::Bash => generate(aot::Bash, &mut command, name, &mut script),
            Shell::Zsh => generate(aot::Zsh, &mut command, name, &mut script),
            Shell::Fish => generate(aot::Fish, &mut command, name, &mut script),
            Shell::Powershell => generate(aot::PowerShell, &mut command, name, &mut script),
        }
        let script = String::from_utf8_lossy(&script);
        output::print(&script.replace(&looked_up, &stored))
    }
}
