//! `tunnel-balancer schema`: the JSON Schema of services.yaml.

use std::process::ExitCode;

use clap::Args;

use crate::output;

/// Print the JSON Schema of services.yaml, for completion and checks in editors.
///
/// Editors use it for files with the first line `# yaml-language-server:
/// $schema=services.schema.json`, which has the path from the file to the schema. A schema checks
/// single values. `tunnel-balancer check` also checks how settings fit together.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer schema > services.schema.json

Exit codes: 0 printed; 1 cannot print; 2 errors in the command.")]
pub(crate) struct Schema {}

impl Schema {
    pub(crate) fn run(self) -> ExitCode {
        output::print(&tunnel_balancer_config::schema())
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_committed_schema_is_current() {
        assert!(tunnel_balancer_config::schema() == include_str!("../../../schema/services.schema.json"));
    }
}
