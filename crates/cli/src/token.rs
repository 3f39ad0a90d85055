//! The token of operators: of a file, or of the environment.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::input;

/// The variable with the token of the control API.
pub(crate) const TOKEN: &str = "BALANCER_CONTROL_TOKEN";

/// The variable with the token of the status endpoint.
pub(crate) const STATUS_TOKEN: &str = "BALANCER_STATUS_TOKEN";

/// Where the token is.
#[derive(Args, Debug)]
pub(crate) struct TokenFile {
    /// File with the token, instead of an environment variable.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl TokenFile {
    /// Reads the token: of the file, or of the first of these variables that is set.
    ///
    /// # Errors
    /// If the file cannot be read, or there is no token.
    pub(crate) fn read(&self, variables: &[&str]) -> Result<String, String> {
        let token = read(self.token_file.as_deref(), variables)?;
        token.ok_or_else(|| format!("error: no token\n  hint: set {TOKEN}, or use --token-file FILE"))
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        self.token_file.as_deref()
    }
}

/// Reads the token, if there is one: of a file, or of the first of these variables that is set.
///
/// # Errors
/// If the file cannot be read.
pub(crate) fn read(file: Option<&Path>, variables: &[&str]) -> Result<Option<String>, String> {
    let trimmed = |token: String| Some(token.trim().to_owned()).filter(|token| !token.is_empty());
    Ok(match file {
        Some(path) => trimmed(input::any(path)?),
        None => variables.iter().find_map(|name| std::env::var(name).ok().and_then(trimmed)),
    })
}
