//! The configuration file: read at the start and again when it changes.
//!
//! The file is polled. File system events are unreliable for files that are replaced, mounted into
//! a container or on a network share. Reading some kilobytes once a second is cheap.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tunnel_balancer_config::{Available, Errors, MAX_BYTES, Platform, parse_available, parse_for};
use tunnel_balancer_core::{Reason, domain_to_ascii};
use tunnel_balancer_tokio::host::{certificate_error, read_regular};

use crate::settled::Settled;

/// The file and its last contents.
#[derive(Debug)]
pub(crate) struct ConfigFile {
    path: PathBuf,
    /// The contents, or the error of reading them.
    contents: Settled<Result<String, String>>,
}

/// Why a configuration cannot be used.
#[derive(Debug)]
pub(crate) struct ConfigError {
    pub(crate) reason: Reason,
    /// Every diagnostic, or the error of reading the file.
    pub(crate) detail: String,
}

impl ConfigFile {
    /// The time between two calls of [`poll`](Self::poll).
    pub(crate) const POLL_INTERVAL: Duration = Duration::from_secs(1);

    /// Reads the file for the first time.
    ///
    /// # Errors
    /// If the file cannot be read or is invalid.
    pub(crate) fn open(path: &Path) -> Result<(Self, Available), ConfigError> {
        let file = Self { path: path.to_owned(), contents: Settled::new(read(path)) };
        let config = file.parse()?;
        Ok((file, config))
    }

    /// Reads the file. Returns its configuration if the contents changed and have settled.
    pub(crate) fn poll(&mut self) -> Option<Result<Available, ConfigError>> {
        self.contents.poll(read(&self.path)).then(|| self.parse())
    }

    /// Reads the file and returns its configuration, changed or not.
    pub(crate) fn reload(&mut self) -> Result<Available, ConfigError> {
        self.contents.reload(read(&self.path));
        self.parse()
    }

    /// Returns the path of the file.
    pub(crate) fn name(&self) -> String {
        self.path.display().to_string()
    }

    /// Returns the warnings about the last contents.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let checked = self.contents.applied().as_deref().ok().and_then(|text| parse_for(text, Platform::Serve).ok());
        let warnings = checked.map(|config| config.warnings);
        warnings.into_iter().flatten().map(|warning| format!("{}:{warning}", self.path.display())).collect()
    }

    fn parse(&self) -> Result<Available, ConfigError> {
        let unreadable = |error: &String| ConfigError { reason: Reason::UnreadableFile, detail: error.clone() };
        let text = self.contents.applied().as_deref().map_err(unreadable)?;
        let rejected =
            |reason, errors: &Errors| ConfigError { reason, detail: errors.in_file(&self.name()).to_string() };
        let mut read = parse_available(text, Platform::Serve, &|secret| std::env::var(secret).ok(), &domain_to_ascii)
            .map_err(|errors| rejected(Reason::InvalidConfig, &errors))?;
        read.config.resolve_files(&self.path);
        if let Some(detail) = read.config.services.iter().find_map(certificate_error) {
            return Err(ConfigError { reason: Reason::InvalidCertificate, detail });
        }
        match &read.errors {
            Some(errors) if read.config.services.is_empty() => Err(rejected(Reason::MissingSecret, errors)),
            _ => Ok(read),
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    // One byte more than the limit shows that the file is too large.
    let text = read_regular(path, MAX_BYTES + 1).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    if text.len() > MAX_BYTES {
        return Err(format!("{} is larger than {MAX_BYTES} bytes", path.display()));
    }
    String::from_utf8(text).map_err(|_| format!("{} is not valid UTF-8", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reading_stops_at_the_size_limit() {
        let path = std::env::temp_dir().join(format!("configuration-{}", std::process::id()));
        std::fs::File::create(&path).unwrap().set_len(1 << 30).unwrap();
        let error = read(&path).unwrap_err();
        std::fs::remove_file(path).unwrap();
        assert!(error.ends_with(" is larger than 262144 bytes"), "{error}");
    }
}
