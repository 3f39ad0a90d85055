//! `tunnel-balancer check`: everything that can be said about a file; with `--probe`, what only its
//! servers can tell as well.

mod budget;
mod github;
mod json;
mod looks;
mod mask;
mod text;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use tunnel_balancer_config::{Config, Diagnostic, Errors, parse, parse_with};

use budget::{Assumed, Budget};

use crate::cloudflared::{Finding, IngressFile, compare, tunnel_hosts};
use crate::tunnel::{Tunnel, Tunnels, tunnel};
use crate::{input, output, probe};

/// Check a services.yaml: its mistakes, what is probably not meant so, and what it costs on
/// Cloudflare's free plan.
///
/// Without --probe nothing is sent anywhere, and no secret is needed: what the file refers to by
/// `${NAME}` counts as set. Secrets that are written out are shown as asterisks.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer check
  tunnel-balancer check services.yaml --requests-per-day 60000
  tunnel-balancer check --cloudflared home.yml --cloudflared office.yml
  tunnel-balancer check --cloudflared home.yml --tunnel 'home=*-a.example.com'
  tunnel-balancer check --probe
  In a workflow of GitHub, with remarks at the lines of a pull request:
  tunnel-balancer check --format github --deny-warnings

Exit codes: 0 no mistake; 1 warnings, with --deny-warnings, or a tunnel lacks something; 2 mistakes in a file or the command.")]
pub(crate) struct Check {
    /// The services and their servers.
    #[arg(default_value = "services.yaml")]
    file: PathBuf,

    /// How to say it.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,

    /// End with exit code 1 when there are warnings.
    #[arg(long)]
    deny_warnings: bool,

    /// Compare with a tunnel's config.yml, and name what is missing in it. Given more than once: in
    /// all of them together.
    #[arg(long, value_name = "CONFIG")]
    cloudflared: Vec<PathBuf>,

    /// With --cloudflared: look only for the hostnames of this tunnel, those that match. May be
    /// given more than once.
    #[arg(long, value_name = "NAME=PATTERN", value_parser = tunnel, requires = "cloudflared")]
    tunnel: Vec<Tunnel>,

    /// With --cloudflared: applications have to get the public hostname in `Host`.
    #[arg(long, requires = "cloudflared")]
    host_header: bool,

    /// Run the health check of each server once from here, and warn of those that fail or redirect.
    /// Secrets come from environment variables.
    #[arg(long)]
    probe: bool,

    /// Requests of clients to all services together, for the budget.
    #[arg(long, value_name = "NUMBER", default_value_t = 10_000)]
    requests_per_day: u64,

    /// Isolates of the Worker that are alive at a time, for the budget. Each probes for itself;
    /// Cloudflare decides how many there are, one at least in each data centre that clients reach.
    #[arg(long, value_name = "NUMBER", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..))]
    isolates: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// For people: each mistake with its line.
    Text,
    /// One JSON document.
    Json,
    /// Workflow commands of GitHub Actions.
    Github,
}

/// What was found out about a file.
struct Report<'a> {
    /// Its name, as it was given.
    file: &'a str,
    source: &'a str,
    checked: &'a Result<Config, Errors>,
    /// What it costs, where it has no mistakes.
    budget: Option<Budget>,
    /// Warnings that are about no line of it.
    remarks: Vec<Remark>,
    /// What the files of tunnels lack, where they were given and it has no mistakes.
    tunnels: Option<Compared>,
}

/// A warning that is about no line of the file.
struct Remark {
    code: &'static str,
    message: String,
}

/// What came of the comparison with the files of tunnels.
struct Compared {
    findings: Vec<Finding>,
    /// How many hostnames were looked for.
    hosts: usize,
}

impl Check {
    pub(crate) fn run(self) -> ExitCode {
        let name = self.file.display().to_string();
        let source = match input::yaml(&self.file) {
            Ok(source) => source,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let checked = parse(&source);
        let asked = self.tunnels(&name, &checked).and_then(|tunnels| Ok((tunnels, self.looks(&name, &source)?)));
        let (tunnels, mut remarks) = match asked {
            Ok(asked) => asked,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let assumed = Assumed { requests_per_day: self.requests_per_day, isolates: self.isolates };
        let budget = checked.as_ref().ok().map(|config| Budget::of(&config.services, assumed));
        let too_much = budget.iter().flat_map(Budget::warnings);
        remarks.extend(too_much.map(|message| Remark { code: Budget::CODE, message }));
        let report = Report { file: &name, source: &source, checked: &checked, budget, remarks, tunnels };
        let printed = match self.format {
            Format::Text => output::print_styled(&text::write(&report)),
            Format::Json => output::print(&json::write(&report)),
            Format::Github => output::print(&github::write(&report)),
        };
        match checked {
            Err(_) => ExitCode::from(2),
            Ok(_) if self.deny_warnings && report.warnings() > 0 => ExitCode::FAILURE,
            Ok(_) if report.tunnels.as_ref().is_some_and(Compared::lacks_something) => ExitCode::FAILURE,
            Ok(_) => printed,
        }
    }

    fn tunnels(&self, file: &str, checked: &Result<Config, Errors>) -> Result<Option<Compared>, String> {
        let files = self.cloudflared.iter().map(|path| IngressFile::open(path)).collect::<Result<Vec<_>, _>>()?;
        let Some(config) = checked.as_ref().ok().filter(|_| !files.is_empty()) else { return Ok(None) };
        let (mut hosts, _) = tunnel_hosts(config);
        let tunnels = Tunnels { tunnels: self.tunnel.clone() };
        if !tunnels.is_empty() {
            tunnels.each(&hosts, file)?;
            hosts.retain(|host| tunnels.of(host).is_some());
        }
        Ok(Some(Compared { findings: compare(&hosts, &files, self.host_header), hosts: hosts.len() }))
    }

    /// What servers say to their health checks, where they are to be asked. A file with mistakes
    /// names none for sure.
    fn looks(&self, file: &str, source: &str) -> Result<Vec<Remark>, String> {
        if !self.probe || parse(source).is_err() {
            return Ok(Vec::new());
        }
        let config = parse_with(source, &|name| std::env::var(name).ok());
        let services = config.map_err(|errors| errors.in_file(file).to_string())?.services;
        let rows = probe::look_at(&services).map_err(|error| format!("error: cannot probe: {error}"))?;
        Ok(looks::remarks(&rows))
    }
}

impl Compared {
    fn lacks_something(&self) -> bool {
        self.findings.iter().any(|finding| finding.is_error)
    }
}

impl Report<'_> {
    /// Mistakes, or where there are none, warnings.
    fn diagnostics(&self) -> &[Diagnostic] {
        match self.checked {
            Ok(config) => &config.warnings,
            Err(errors) => errors.diagnostics(),
        }
    }

    /// Mistakes that are counted and not told.
    fn more(&self) -> usize {
        self.checked.as_ref().err().map_or(0, Errors::more)
    }

    fn errors(&self) -> usize {
        self.checked.as_ref().err().map_or(0, |errors| errors.diagnostics().len() + errors.more())
    }

    fn warnings(&self) -> usize {
        let told = self.checked.as_ref().map_or(0, |config| config.warnings.len());
        told + self.remarks.len()
    }
}

fn counted(number: u64, what: &str) -> String {
    match number {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::Code;

    use super::{Budget, looks};

    #[test]
    fn every_code_is_explained() {
        let page = include_str!("../../../../docs/check.md");
        for code in Code::ALL.map(Code::as_str).into_iter().chain([Budget::CODE, looks::FAILING, looks::REDIRECT]) {
            assert!(page.contains(&format!("\n| `{code}` | ")), "{code}");
        }
    }
}
