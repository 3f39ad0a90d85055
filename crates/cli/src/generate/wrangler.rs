//! `generate wrangler`: a route to the Worker for each public host.
//!
//! The routes are tables (`[[routes]]`) rather than a list: a key that is appended to a TOML file
//! belongs to its last table.

use std::path::PathBuf;

use clap::Args;

use super::wrangler_block::{Block, with_block};
use super::{Output, skipped_comments};
use crate::map_file::MapFile;
use crate::replace::{check_editable, replace};
use crate::wrangler::{Environment, Route, WranglerFile, check_zones, custom_domain_warnings, routes, zone};

/// The routes of wrangler.toml: one for each public host.
///
/// A host gets a custom domain, for which Cloudflare creates the DNS record and the certificate.
/// With --zone it gets a route in front of its existing DNS record instead. A service with a path
/// needs --zone, as a custom domain is for every path of a host.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer generate wrangler --write
  tunnel-balancer generate wrangler --zone example.com --zone example.net
  tunnel-balancer generate wrangler -f staging.yaml --env staging --write

Exit codes: 0 generated; 2 errors in a file or the command.")]
pub(super) struct Wrangler {
    #[command(flatten)]
    map: MapFile,

    /// A zone whose hosts have a proxied DNS record already: their routes are in front of it. Can
    /// be repeated. By default, the zones of the block that --write replaces.
    #[arg(long, value_name = "ZONE", value_parser = zone)]
    zone: Vec<String>,

    #[command(flatten)]
    environment: Environment,

    /// Keep the routes in a marked block of this file, which is added or replaced. Everything else
    /// is kept. By default wrangler.toml.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "wrangler.toml")]
    write: Option<PathBuf>,
}

impl Wrangler {
    pub(super) fn generate(&self) -> Result<Output, String> {
        let Some(path) = &self.write else {
            let (text, skipped, _) = self.block(&self.zone)?;
            return Ok(Output { text, skipped });
        };
        let name = path.display().to_string();
        check_editable(path)?;
        let text = WranglerFile::text(path)?;
        let block = Block::find(&name, &text, self.environment.name())?;
        if let Some(line) = block.as_ref().and_then(|block| block.foreign_line(is_own_comment)) {
            return Err(format!(
                "{name}:{line}: error: the marked block has a line that is not generated\n  hint: move it above the \
                block, which is replaced as a whole"
            ));
        }
        let old = block.as_ref().map(Block::text).unwrap_or_default();
        let old = WranglerFile::parse(&name, &old, self.environment.name())?.routes;
        let zones = match &self.zone[..] {
            [] => old.iter().filter_map(|route| route.zone.clone()).collect(),
            given => given.to_vec(),
        };
        let (new_block, skipped, patterns) = self.block(&zones)?;
        let new = with_block(&name, &text, block.as_ref(), &new_block, self.environment.name())?;
        let mut report = String::new();
        let added = patterns.iter().filter(|pattern| old.iter().all(|route| route.pattern != **pattern));
        added.for_each(|pattern| report += &format!("{name}: added the route {pattern}\n"));
        let removed = old.iter().filter(|route| !patterns.contains(&route.pattern));
        removed.for_each(|route| report += &format!("{name}: removed the route {}\n", route.pattern));
        if new == text {
            report = format!("{name}: nothing to change\n");
        } else {
            replace(path, &new)?;
            if report.is_empty() {
                report = format!("{name}: updated the block of routes\n");
            }
        }
        Ok(Output { text: report, skipped })
    }

    /// Returns the routes between their marks, the services without one, and the patterns.
    fn block(&self, zones: &[String]) -> Result<(String, Vec<String>, Vec<String>), String> {
        let config = self.map.load()?;
        let file = self.map.name();
        check_zones(&config, zones, &file)?;
        let (routes, skipped) = routes(&config, zones).map_err(|message| format!("{file}: {message}"))?;
        let custom = routes.iter().filter(|route| matches!(route, Route::CustomDomain { .. })).map(Route::pattern);
        custom_domain_warnings(custom).iter().for_each(|warning| eprintln!("warning: {warning}"));
        let patterns = routes.iter().map(|route| route.pattern().to_owned()).collect();
        let environment = self.environment.name();
        Ok((Block::write(&toml(&routes, &skipped, &file, environment), environment), skipped, patterns))
    }
}

// The comments of the block.
const GENERATED: &str = "# Generated from ";
const REPLACED: &str = "` replaces everything up to the end mark.";
const CUSTOM_DOMAIN: &str = "\
# custom_domain: Cloudflare creates the DNS record and the certificate. The hostname must have no record yet. For
# one that has a record, such as that of a tunnel, generate a route with `--zone`: it replaces nothing.
";
const ZONE_NAME: &str =
    "# zone_name: the hostname has a proxied DNS record, and the Worker gets the requests in front of it.\n";
const PATH: &str = "\
# A route ends in `*` because of queries. `/api*` also matches `/apix`, to which the Worker responds with 404.
";

fn is_own_comment(comment: &str) -> bool {
    let is_constant = [CUSTOM_DOMAIN, ZONE_NAME, PATH].iter().any(|text| text.lines().any(|line| line == comment));
    is_constant
        || (comment.starts_with(GENERATED) && comment.ends_with(REPLACED))
        || (comment.starts_with("# Skipped: ") && comment.ends_with('.'))
}

fn toml(routes: &[Route<'_>], skipped: &[String], file: &str, environment: Option<&str>) -> String {
    let option = environment.map_or_else(String::new, |environment| format!(" --env {environment}"));
    let mut toml = format!("{GENERATED}{file}. `tunnel-balancer generate wrangler{option} --write{REPLACED}\n");
    let table = environment.map_or_else(|| "routes".to_owned(), |environment| format!("env.{environment}.routes"));
    if routes.iter().any(|route| matches!(route, Route::CustomDomain { .. })) {
        toml += CUSTOM_DOMAIN;
    }
    if routes.iter().any(|route| matches!(route, Route::Zone { .. })) {
        toml += ZONE_NAME;
    }
    if routes.iter().any(|route| matches!(route, Route::Zone { pattern, .. } if !pattern.ends_with("/*"))) {
        toml += PATH;
    }
    toml += &skipped_comments("#", skipped);
    for route in routes {
        // The configuration accepts no quote, backslash or `*` in a host or path.
        toml += &match route {
            Route::CustomDomain { host } => format!("\n[[{table}]]\npattern = \"{host}\"\ncustom_domain = true\n"),
            Route::Zone { pattern, zone } => {
                format!("\n[[{table}]]\npattern = \"{pattern}\"\nzone_name = \"{zone}\"\n")
            }
        };
    }
    toml
}
