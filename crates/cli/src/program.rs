//! `--for`: the program that will serve a map.

use clap::ValueEnum;
use tunnel_balancer_config::{Config, Errors, Platform, parse, parse_for};

/// The program that will serve a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Program {
    /// The Worker on Cloudflare.
    Worker,
    /// `tunnel-balancer serve`.
    Serve,
}

impl Program {
    /// Checks a map for a program, or for either.
    pub(crate) fn parse(program: Option<Self>, source: &str) -> Result<Config, Errors> {
        match program {
            Some(Self::Worker) => parse_for(source, Platform::Worker),
            Some(Self::Serve) => parse_for(source, Platform::Serve),
            None => parse(source),
        }
    }

    /// Returns whether the limits of Cloudflare apply.
    pub(crate) fn is_on_cloudflare(program: Option<Self>) -> bool {
        program != Some(Self::Serve)
    }
}
