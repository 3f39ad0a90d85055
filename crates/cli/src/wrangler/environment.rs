//! `--env`: the environment of wrangler.

use clap::Args;

/// The environment of wrangler that a command is for.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Environment {
    /// The environment of wrangler.toml: its table `[env.NAME]`. Default: the top level.
    #[arg(long = "env", value_name = "NAME", value_parser = name)]
    name: Option<String>,
}

impl Environment {
    pub(crate) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }
}

/// Parses a name that wrangler accepts. It is also a key of TOML and a part of file names.
fn name(text: &str) -> Result<String, String> {
    let is_valid = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    if text.is_empty() || text.starts_with('-') || !text.chars().all(is_valid) {
        return Err("expected lower-case letters, digits, `-` and `_`".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_keys_of_toml() {
        for text in ["staging", "eu-1", "_x"] {
            assert_eq!(name(text).as_deref(), Ok(text));
        }
        for text in ["", "-x", "Staging", "a.b", "a b", "../x"] {
            assert!(name(text).is_err(), "{text}");
        }
    }
}
