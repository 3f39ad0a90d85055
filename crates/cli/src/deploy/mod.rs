//! `tunnel-balancer deploy`: checks, the difference to the deployed map, `wrangler deploy`, and a
//! request through each public hostname.

mod confirm;
mod programs;
mod record;
mod requests;
mod wrangler;

use std::ffi::OsString;
use std::fs;
use std::io::{IsTerminal as _, stderr, stdin};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tunnel_balancer_config::Config;
use tunnel_balancer_core::Service;
use tunnel_balancer_core::host::ANY_HOST;
use tunnel_balancer_native::PushTarget;
use tunnel_balancer_state::HealthSharing;

use crate::check::Check;
use crate::client_request::parse_url;
use crate::map_file::MapFile;
use crate::plural::count;
use crate::program::Program;
use crate::wrangler::{Environment, WranglerFile, unroutable};
use crate::{diff, duration, input, output, progress};
use confirm::confirm;
use record::Record;
use wrangler::Wrangler;

/// Check the map, show what changes, run `wrangler deploy`, and request every public hostname.
///
/// Errors in the map, missing routes and missing secrets stop it before anything is uploaded. The
/// differences are those to the last deployment from this folder, of which a copy is kept in
/// .tunnel-balancer.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer deploy
  tunnel-balancer deploy --yes
  tunnel-balancer deploy --dry-run
  tunnel-balancer deploy -f staging.yaml --env staging
  tunnel-balancer deploy -- --keep-vars

Exit codes: 0 deployed, and every public hostname responds; 1 deployed, but a hostname does not respond as \
expected; 2 not deployed: errors in a file or in the command, missing secrets, or no confirmation; 3 wrangler \
failed.")]
pub(crate) struct Deploy {
    #[command(flatten)]
    map: MapFile,

    /// The configuration of wrangler.
    #[arg(short, long, value_name = "FILE", default_value = "wrangler.toml")]
    config: PathBuf,

    #[command(flatten)]
    environment: Environment,

    /// Deploy without a prompt. Required without a terminal.
    #[arg(short, long)]
    yes: bool,

    /// Run `wrangler deploy --dry-run`: nothing is uploaded, and no hostname is requested.
    #[arg(long)]
    dry_run: bool,

    /// Deploy although secrets are missing. Services that need them respond with 503.
    #[arg(long)]
    allow_missing_secrets: bool,

    /// The map that is deployed now, for the differences. Default: the copy of the last deployment
    /// from this folder.
    #[arg(long, value_name = "FILE")]
    deployed: Option<PathBuf>,

    /// Request the public hostnames for at most this long; 0s: not at all.
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = time)]
    wait: Duration,

    /// Send the requests for all public hostnames to this URL, by the `Host` header.
    #[arg(long, value_name = "URL")]
    to: Option<String>,

    /// The program wrangler. Default: that of the closest node_modules, or `npx wrangler`.
    #[arg(long, value_name = "PATH")]
    wrangler_program: Option<PathBuf>,

    /// Arguments for `wrangler deploy`.
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

/// Why nothing is deployed.
const NOT_DEPLOYED: u8 = 2;

/// The exit code if wrangler fails.
const WRANGLER_FAILED: u8 = 3;

/// The variable of the Worker that overrides its map.
const SERVICES_YAML: &str = "SERVICES_YAML";

impl Deploy {
    pub(crate) fn run(self) -> ExitCode {
        self.result().unwrap_or_else(|error| {
            eprintln!("{error}");
            ExitCode::from(NOT_DEPLOYED)
        })
    }

    fn result(&self) -> Result<ExitCode, String> {
        let is_dry_run = self.dry_run || self.arguments.iter().any(|argument| argument == "--dry-run");
        if !self.yes && !is_dry_run && !stdin().is_terminal() {
            return Err("error: no terminal for a confirmation\n  hint: use --yes, or --dry-run".to_owned());
        }
        if input::is_stdio(self.map.path()) {
            return Err("error: cannot deploy standard input\n  hint: name the file that the Worker imports".to_owned());
        }
        let to = self.to.as_deref().map(parse_url).transpose()?;
        let check = Check::before_deployment(self.map.path(), &self.config, &self.environment);
        let Some((yaml, map)) = check.print()? else { return Ok(ExitCode::from(NOT_DEPLOYED)) };
        let file = WranglerFile::open(&self.config, self.environment.name())?;
        self.check_variable(&file, &yaml)?;
        self.check_entry(&file);
        let wrangler = Wrangler::find(self.wrangler_program.as_deref(), &self.config, self.environment.name())?;
        self.check_secrets(&wrangler, &map, &file, is_dry_run)?;

        let path = Record::path(&self.config, self.environment.name());
        let record = Record::read(&path)?;
        let rollback = if is_dry_run { None } else { self.rollback(&wrangler, record.as_ref())? };
        output::print_escaped(&format!("\n{}\n", self.differences(&map, record.as_ref())?));
        if !self.yes && !is_dry_run && !confirm("Deploy?", &mut stdin().lock(), &mut stderr()) {
            return Err("not deployed".to_owned());
        }

        let version = match wrangler.deploy(&self.deploy_arguments()) {
            Ok(version) => version,
            Err(error) => {
                eprintln!("{error}");
                return Ok(ExitCode::from(WRANGLER_FAILED));
            }
        };
        if is_dry_run {
            return Ok(output::print("\nDry run: nothing is deployed.\n"));
        }
        let record = Record { yaml, version };
        if let Err(error) = record.write(&path) {
            eprintln!("warning: {error}: the next deployment has no differences");
        }
        self.finish(&map, record.version.as_deref(), rollback.as_deref(), to.as_deref())
    }

    /// Requests the public hostnames and prints the report. `rollback` is the command that returns
    /// to the version before.
    fn finish(
        &self,
        map: &Config,
        version: Option<&str>,
        rollback: Option<&str>,
        to: Option<&str>,
    ) -> Result<ExitCode, String> {
        let version = version.map_or_else(String::new, |version| format!(" version {version}"));
        output::print_escaped(&format!("\nDeployed{version}.\n"));
        let (requested, skipped) = requested(&map.services);
        let mut has_passed = true;
        if !self.wait.is_zero() {
            let rows = requests::request_all(&requested, to, self.wait)?;
            has_passed = rows.iter().all(requests::Row::has_passed);
            output::print_escaped(&format!("\n{}", requests::report(&rows)));
            skipped.iter().for_each(|name| eprintln!("skipped: {name} (not one hostname)"));
        }
        if let Some(command) = rollback {
            output::print_escaped(&format!("\nTo roll back: {command}\n"));
        }
        Ok(if has_passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Checks that the variable of the Worker does not override the map.
    fn check_variable(&self, file: &WranglerFile, yaml: &str) -> Result<(), String> {
        match file.variables.iter().find(|(name, _)| name == SERVICES_YAML) {
            Some((_, value)) if value.trim() != yaml.trim() => Err(format!(
                "error: {} sets the variable {SERVICES_YAML}, which overrides {}\n  hint: delete the variable",
                file.name,
                self.map.name()
            )),
            _ => Ok(()),
        }
    }

    /// Warns if the entry of the Worker names another map.
    fn check_entry(&self, file: &WranglerFile) {
        let Some(entry) = file.entry.as_ref().map(|entry| self.config.with_file_name(entry)) else { return };
        let map = self.map.path().file_name().unwrap_or_default().to_string_lossy();
        if fs::read_to_string(&entry).is_ok_and(|text| !text.contains(map.as_ref())) {
            eprintln!(
                "warning: {} does not import {map}, so the Worker may have another map\n  hint: set `main` of the \
                 environment to an entry that imports it",
                input::name(&entry)
            );
        }
    }

    /// Compares the secrets that the map needs with those of the Worker and the variables of the
    /// file.
    fn check_secrets(
        &self,
        wrangler: &Wrangler,
        map: &Config,
        file: &WranglerFile,
        is_dry_run: bool,
    ) -> Result<(), String> {
        let of_monitor = (map.health_sharing == HealthSharing::Monitor).then(|| PushTarget::KEY_VARIABLE.to_owned());
        let is_variable = |name: &String| file.variables.iter().any(|(variable, _)| variable == name);
        let mut needed: Vec<String> = map.secrets.iter().cloned().chain(of_monitor).collect();
        needed.retain(|name| !is_variable(name));
        if needed.is_empty() {
            return Ok(());
        }
        progress::show("reading the names of the secrets: wrangler secret list");
        let secrets = wrangler.secrets();
        progress::end();
        let secrets = match secrets {
            Err(error) if is_dry_run && !wrangler.is_interrupted() => {
                eprintln!("{error}\nwarning: the secrets are not checked: {}", needed.join(", "));
                return Ok(());
            }
            secrets => secrets?,
        };
        needed.retain(|name| !secrets.contains(name));
        if needed.is_empty() {
            return Ok(());
        }
        let title = format!("{} not set: {}", count(needed.len() as u64, "secret"), needed.join(", "));
        if self.allow_missing_secrets {
            eprintln!("warning: {title}");
            return Ok(());
        }
        let commands = needed.iter().map(|name| format!("\n  npx wrangler secret put {name}{}", self.option()));
        Err(format!(
            "error: {title}\n  hint: set them, or use --allow-missing-secrets: services that need them respond with \
             503{}",
            commands.collect::<String>()
        ))
    }

    /// Returns the command that returns to the version that is deployed now. `None`: there is none.
    /// Warns if that version is not the one of the record.
    ///
    /// # Errors
    /// If a signal stops it.
    fn rollback(&self, wrangler: &Wrangler, record: Option<&Record>) -> Result<Option<String>, String> {
        progress::show("reading the deployed version: wrangler deployments status");
        let versions = wrangler.versions();
        progress::end();
        let versions = match versions {
            Err(error) if wrangler.is_interrupted() => return Err(error),
            Err(error) => {
                eprintln!("{error}\nwarning: the deployed version is not known");
                return Ok(Some(self.rollback_to("")));
            }
            Ok(versions) => versions,
        };
        let recorded = record.and_then(|record| record.version.clone());
        if let Some(recorded) = recorded.filter(|recorded| versions != [recorded.clone()]) {
            let versions = if versions.is_empty() { "none".to_owned() } else { versions.join(", ") };
            eprintln!(
                "warning: the Worker was changed elsewhere: deployed is {versions}, but the last deployment from this \
                 folder was {recorded}"
            );
        }
        Ok(match &versions[..] {
            [] => None,
            [version] => Some(self.rollback_to(&format!(" {version}"))),
            _ => Some(self.rollback_to("")),
        })
    }

    fn rollback_to(&self, version: &str) -> String {
        format!("npx wrangler rollback{version}{}", self.option())
    }

    /// Returns what the deployment changes, as `diff` does.
    fn differences(&self, map: &Config, record: Option<&Record>) -> Result<String, String> {
        let (source, yaml) = match (&self.deployed, record) {
            (Some(path), _) => (input::name(path), input::yaml(path)?),
            (None, Some(record)) => ("the last deployment from this folder".to_owned(), record.yaml.clone()),
            (None, None) => {
                let services = count(map.services.len() as u64, "service");
                return Ok(format!("Changes: {services}, the first deployment from this folder\n"));
            }
        };
        Ok(match Program::parse(Some(Program::Worker), &yaml) {
            Ok(old) => format!("Changes since {source}:\n{}", diff::text(&old, map)),
            Err(_) => format!("Changes: unknown, as {source} has errors\n"),
        })
    }

    fn deploy_arguments(&self) -> Vec<OsString> {
        let dry_run = self.dry_run.then(|| OsString::from("--dry-run"));
        dry_run.into_iter().chain(self.arguments.iter().cloned()).collect()
    }

    /// Returns the option for commands of wrangler.
    fn option(&self) -> String {
        self.environment.name().map_or_else(String::new, |name| format!(" --env {name}"))
    }
}

/// Returns the services with a hostname that can be requested, and the names of the others.
fn requested(services: &[Service]) -> (Vec<&Service>, Vec<String>) {
    let is_one_host = |service: &&Service| service.host != ANY_HOST && unroutable(&service.host).is_none();
    let (requested, skipped): (Vec<&Service>, Vec<&Service>) = services.iter().partition(is_one_host);
    (requested, skipped.into_iter().map(Service::name).collect())
}

fn time(text: &str) -> Result<Duration, String> {
    let range = Duration::ZERO..=Duration::from_secs(600);
    duration::within(text, range, "expected a duration up to 10m, such as 1m")
}
