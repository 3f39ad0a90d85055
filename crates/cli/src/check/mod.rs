//! `tunnel-balancer check`: errors, warnings and estimated usage of maps.

mod github;
mod json;
mod probe_warnings;
mod report;
mod summary;
mod text;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tunnel_balancer_config::{Config, Errors, parse_with};
use tunnel_balancer_native::certificate_error;

use report::{Comparison, Report, Warning};

use crate::budget::{Assumed, Budget};
use crate::cloudflared::{IngressFile, compare, tunnel_hosts};
use crate::map_file::MapFile;
use crate::program::Program;
use crate::tunnel::{Tunnel, Tunnels, tunnel};
use crate::wrangler::{self, Environment, WranglerFile};
use crate::{input, output, probe};

/// Check services.yaml: errors, warnings and the estimated usage of Cloudflare's free plan.
///
/// Nothing is sent without --probe, and no secret is needed: references such as `${NAME}` count as
/// set. Inline secrets are shown as asterisks.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer check
  tunnel-balancer check home.yaml office.yaml
  tunnel-balancer check --for worker
  tunnel-balancer check --requests-per-day 60000
  tunnel-balancer check --cloudflared home.yml --cloudflared office.yml
  tunnel-balancer check --cloudflared home.yml --tunnel 'home=*-a.example.com'
  tunnel-balancer check --wrangler wrangler.toml
  tunnel-balancer check staging.yaml --wrangler wrangler.toml --env staging
  tunnel-balancer check --probe
  In a GitHub workflow, with annotations in pull requests:
  tunnel-balancer check --format github --deny-warnings

Exit codes: 0 no errors; 1 warnings, with --deny-warnings, or errors in the files of tunnels or in routes; \
2 errors in a map or in the command.")]
pub(crate) struct Check {
    /// The maps to check, each with its own report; `-` reads standard input. Default:
    /// services.yaml.
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,

    /// A map to check, as in the other commands. Repeatable.
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// Check the map for the program that will serve it: settings that it does not support are
    /// errors. `serve` has no limits of Cloudflare. Default: warnings for either, errors for
    /// neither.
    #[arg(long = "for", value_name = "PROGRAM")]
    program: Option<Program>,

    /// Output format.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// Short for --format json.
    #[arg(long, conflicts_with = "format")]
    json: bool,

    /// Exit with code 1 on warnings.
    #[arg(long)]
    deny_warnings: bool,

    /// Compare the map with a tunnel's config.yml and report missing hostnames. Repeatable: a
    /// hostname may be in any of the files.
    #[arg(long, value_name = "CONFIG")]
    cloudflared: Vec<PathBuf>,

    /// With --cloudflared: expect only the hostnames of this tunnel, those that match the pattern.
    /// Repeatable.
    #[arg(long, value_name = "NAME=PATTERN", value_parser = tunnel, requires = "cloudflared")]
    tunnel: Vec<Tunnel>,

    /// With --cloudflared: expect the public hostname in the `httpHostHeader` of every rule.
    #[arg(long, requires = "cloudflared")]
    host_header: bool,

    /// Compare the map with the routes of a wrangler.toml: report missing, superfluous and
    /// duplicate routes.
    #[arg(long, value_name = "CONFIG")]
    wrangler: Option<PathBuf>,

    #[command(flatten)]
    environment: Environment,

    /// Run the health check of every server once from this machine, and warn if it fails or is
    /// redirected. Secrets are read from environment variables.
    #[arg(long)]
    probe: bool,

    /// Client requests per day to all services, for the estimate.
    #[arg(long, value_name = "NUMBER", default_value_t = Assumed::DEFAULT.requests_per_day)]
    requests_per_day: u64,

    /// Isolates of the Worker that run at the same time, for the estimate. Each one probes.
    /// Cloudflare sets their number: at least one per data center that clients reach.
    #[arg(long, value_name = "NUMBER", default_value_t = Assumed::DEFAULT.isolates)]
    #[arg(value_parser = clap::value_parser!(u64).range(1..=10_000))]
    isolates: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Every diagnostic with its line, and a summary.
    Text,
    /// One JSON document.
    Json,
    /// Workflow commands of GitHub Actions.
    Github,
}

impl Check {
    /// Returns the check of a map and of the routes of a Worker before its deployment.
    pub(crate) fn before_deployment(map: &Path, config: &Path, environment: &Environment) -> Self {
        Self {
            files: Vec::new(),
            file: vec![map.to_owned()],
            program: Some(Program::Worker),
            format: Format::Text,
            json: false,
            deny_warnings: false,
            cloudflared: Vec::new(),
            tunnel: Vec::new(),
            host_header: false,
            wrangler: Some(config.to_owned()),
            environment: environment.clone(),
            probe: false,
            requests_per_day: Assumed::DEFAULT.requests_per_day,
            isolates: Assumed::DEFAULT.isolates,
        }
    }

    /// Prints the report about the first file, on standard error if it has errors. Returns the file
    /// and the map, if it has none.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub(crate) fn print(&self) -> Result<Option<(String, Config)>, String> {
        let file = self.files().into_iter().next().unwrap_or_default();
        let report = self.report(&file)?;
        let (text, has_missing) = (text::write(&report), report.has_missing());
        let Some(map) = report.checked.ok().filter(|_| !has_missing) else {
            output::print_errors(&text);
            return Ok(None);
        };
        output::print_styled(&text);
        Ok(Some((report.source, map)))
    }

    pub(crate) fn run(self) -> ExitCode {
        let files = self.files();
        let compares = [("cloudflared", !self.cloudflared.is_empty()), ("wrangler", self.wrangler.is_some())];
        if let Some((option, _)) = compares.iter().find(|(_, is_given)| *is_given && files.len() > 1) {
            eprintln!("error: --{option} expects one map, found {}", files.len());
            return ExitCode::from(2);
        }
        if self.environment.name().is_some() && self.wrangler.is_none() {
            eprintln!("error: --env needs --wrangler");
            return ExitCode::from(2);
        }
        let mut reports = Vec::new();
        for file in &files {
            match self.report(file) {
                Ok(report) => reports.push(report),
                Err(error) => eprintln!("{error}"),
            }
        }
        if reports.is_empty() {
            return ExitCode::from(2);
        }
        let printed = match self.format() {
            Format::Text => output::print_styled(&reports.iter().map(text::write).collect::<Vec<_>>().join("\n")),
            Format::Json => output::print(&json::write(&reports)),
            Format::Github => output::print(&reports.iter().map(github::write).collect::<String>()),
        };
        let is_denied = |report: &Report| self.deny_warnings && report.warnings() > 0;
        if reports.len() < files.len() || reports.iter().any(|report| report.errors() > 0) {
            ExitCode::from(2)
        } else if reports.iter().any(|report| is_denied(report) || report.has_missing()) {
            ExitCode::FAILURE
        } else {
            printed
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let files: Vec<PathBuf> = self.files.iter().chain(&self.file).cloned().collect();
        if files.is_empty() { vec![PathBuf::from(MapFile::DEFAULT)] } else { files }
    }

    const fn format(&self) -> Format {
        if self.json { Format::Json } else { self.format }
    }

    fn report(&self, path: &Path) -> Result<Report, String> {
        let file = input::name(path);
        let source = input::yaml(path)?;
        let checked = Program::parse(self.program, &source);
        let tunnels = self.compare_tunnels(&file, &checked)?;
        let mut warnings = self.probe_warnings(path, &source, &checked)?;
        if !self.probe && !Program::is_on_cloudflare(self.program) {
            warnings.extend(certificate_warnings(path, &checked));
        }
        let routes = self.compare_routes(&checked, &mut warnings)?;
        let assumed = Assumed { requests_per_day: self.requests_per_day, isolates: self.isolates };
        let on_cloudflare = Program::is_on_cloudflare(self.program);
        let budget = checked
            .as_ref()
            .ok()
            .filter(|_| on_cloudflare)
            .map(|it| Budget::of(&it.services, it.health_sharing, assumed));
        let exceeded = budget.iter().flat_map(Budget::warnings);
        warnings.extend(exceeded.map(|message| Warning { code: Budget::CODE, message }));
        Ok(Report { file, source, checked, budget, file_warnings: warnings, tunnels, routes })
    }

    fn compare_tunnels(&self, file: &str, checked: &Result<Config, Errors>) -> Result<Option<Comparison>, String> {
        let files = self.cloudflared.iter().map(|path| IngressFile::open(path)).collect::<Result<Vec<_>, _>>()?;
        let Some(config) = checked.as_ref().ok().filter(|_| !files.is_empty()) else { return Ok(None) };
        let (mut hosts, _) = tunnel_hosts(config);
        let tunnels = Tunnels { tunnels: self.tunnel.clone() };
        if !tunnels.is_empty() {
            tunnels.each(&hosts, file)?;
            hosts.retain(|host| tunnels.of(host).is_some());
        }
        Ok(Some(Comparison { findings: compare(&hosts, &files, self.host_header), hosts: hosts.len() }))
    }

    fn compare_routes(
        &self,
        checked: &Result<Config, Errors>,
        warnings: &mut Vec<Warning>,
    ) -> Result<Option<Comparison>, String> {
        let environment = self.environment.name();
        let file = self.wrangler.as_ref().map(|path| WranglerFile::open(path, environment)).transpose()?;
        let (Some(file), Ok(config)) = (file, checked) else { return Ok(None) };
        let too_many = wrangler::custom_domain_warnings(file.custom_domains());
        warnings
            .extend(too_many.into_iter().map(|message| Warning { code: wrangler::TOO_MANY_CUSTOM_DOMAINS, message }));
        let hosts = config.services.iter().filter(|service| wrangler::unroutable(&service.host).is_none()).count();
        Ok(Some(Comparison { findings: wrangler::compare(config, &file), hosts }))
    }

    /// Runs the health checks, if they are requested. A map with errors is not probed.
    fn probe_warnings(
        &self,
        path: &Path,
        source: &str,
        checked: &Result<Config, Errors>,
    ) -> Result<Vec<Warning>, String> {
        if !self.probe || checked.is_err() {
            return Ok(Vec::new());
        }
        let config = parse_with(source, &|name| std::env::var(name).ok());
        let mut config = config.map_err(|errors| output::rendered(&errors, &input::name(path), source))?;
        config.resolve_files(path);
        let rows = probe::probe(&config.services).map_err(|error| format!("error: cannot probe: {error}"))?;
        Ok(probe_warnings::warnings(&rows))
    }
}

/// The code of warnings about files of `ca` with which `serve` does not start.
const INVALID_CERTIFICATE: &str = "invalid-certificate";

/// Returns a warning for each service whose certificates cannot be used on this machine.
fn certificate_warnings(path: &Path, checked: &Result<Config, Errors>) -> Vec<Warning> {
    let Ok(mut config) = checked.clone() else { return Vec::new() };
    config.resolve_files(path);
    let messages = config.services.iter().filter_map(certificate_error);
    messages.map(|message| Warning { code: INVALID_CERTIFICATE, message }).collect()
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::Code;

    use super::{Budget, INVALID_CERTIFICATE, probe_warnings, wrangler};

    #[test]
    fn every_code_is_documented() {
        let page = include_str!("../../../../docs/check.md");
        for code in Code::ALL.map(Code::as_str).into_iter().chain([
            Budget::CODE,
            probe_warnings::FAILING,
            probe_warnings::REDIRECT,
            wrangler::TOO_MANY_CUSTOM_DOMAINS,
            INVALID_CERTIFICATE,
        ]) {
            assert!(page.contains(&format!("\n| `{code}` | ")), "{code}");
        }
    }
}
