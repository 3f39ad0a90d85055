//! `tunnel-balancer schema`: what editors check a services.yaml with.

use std::process::ExitCode;

use clap::Args;

use crate::output;

/// Print the JSON Schema of services.yaml, with which editors complete, explain and check it.
///
/// An editor takes it for files that begin with a line such as `# yaml-language-server:
/// $schema=services.schema.json`, with the path from the file to the schema. It sees one value at a
/// time; what settings mean together is checked when a file is read.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer schema > services.schema.json

Exit codes: 0 printed; 1 nobody took it; 2 mistakes in the command.")]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self) -> ExitCode {
        output::print(&tunnel_balancer_config::schema())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_schema_is_printed() {
        assert!(tunnel_balancer_config::schema() == include_str!("../../../schema/services.schema.json"));
    }
}
