//! `-f/--file`: the map that a command reads, in the same way for all commands.

use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::StyledStr;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use tunnel_balancer_config::{Config, parse};

use crate::{input, output};

/// The map of public hosts and their servers.
#[derive(Args, Clone, Debug)]
pub(crate) struct MapFile {
    /// The map of public hosts and their servers; `-` reads standard input.
    #[arg(short, long, value_name = "FILE", default_value = Self::DEFAULT)]
    file: PathBuf,
}

impl MapFile {
    /// The file that is read unless another one is named.
    pub(crate) const DEFAULT: &'static str = "services.yaml";

    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// Returns its name for messages, on one line.
    pub(crate) fn name(&self) -> String {
        input::name(&self.file)
    }

    /// Reads it. Secrets need not be set.
    ///
    /// # Errors
    /// Everything that is wrong with it, for the terminal.
    pub(crate) fn load(&self) -> Result<Config, String> {
        load(&self.file)
    }
}

/// Reads a map. Secrets need not be set.
///
/// # Errors
/// Everything that is wrong with it, for the terminal.
pub(crate) fn load(path: &Path) -> Result<Config, String> {
    load_text(path, &input::yaml(path)?)
}

/// Reads the content of a map. Secrets need not be set.
///
/// # Errors
/// Everything that is wrong with it, for the terminal.
pub(crate) fn load_text(path: &Path, text: &str) -> Result<Config, String> {
    parse(text).map_err(|errors| output::rendered(&errors, &input::name(path), text))
}

/// Adds the option `-f` to an error about a map that was given as a positional argument.
pub(crate) fn suggest_option(mut error: clap::Error) -> clap::Error {
    let found = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(found)) if error.kind() == ErrorKind::UnknownArgument => found.clone(),
        _ => return error,
    };
    if is_map_name(&found) {
        let tip = StyledStr::from(format!("name the map by `-f {found}`"));
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip]));
    }
    error
}

/// Returns a hint for an argument that looks like a map but was expected to be something else.
pub(crate) fn hint_for(argument: &str) -> String {
    if is_map_name(argument) { format!("\n  hint: name the map by `-f {argument}`") } else { String::new() }
}

fn is_map_name(argument: &str) -> bool {
    let extension = Path::new(argument).extension();
    argument == "-" || extension.is_some_and(|extension| extension == "yaml" || extension == "yml")
}
