//! The options of the log, for the commands that run until they are stopped.

use clap::{Args, ValueEnum};
use tunnel_balancer_core::LogLevel;
use tunnel_balancer_native::LogFormat;

/// The options of the log.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct LogOptions {
    /// Log events of this level and above. `debug` includes every failed probe.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    log_level: Level,

    /// Format of the log.
    #[arg(long, value_name = "FORMAT", default_value = "json")]
    log_format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Level {
    Error,
    Warn,
    Info,
    Debug,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Json,
    Text,
}

impl LogOptions {
    pub(crate) const fn level(self) -> LogLevel {
        match self.log_level {
            Level::Error => LogLevel::Error,
            Level::Warn => LogLevel::Warn,
            Level::Info => LogLevel::Info,
            Level::Debug => LogLevel::Debug,
        }
    }

    pub(crate) const fn format(self) -> LogFormat {
        match self.log_format {
            Format::Json => LogFormat::Json,
            Format::Text => LogFormat::Text,
        }
    }
}
