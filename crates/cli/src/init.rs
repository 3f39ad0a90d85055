//! `tunnel-balancer init`: a first services.yaml, from options or a dialog, with or without the
//! folder of a deployment with npm.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tunnel_balancer_config::{Code, Platform, parse_for, policy_names, yaml_scalar};

use crate::draft::{Draft, DraftService, render};
use crate::map_file::MapFile;
use crate::{input, npm_folder, output, shell};

/// Write a first services.yaml with one public host and its servers.
///
/// On a terminal it prompts for values that no option sets. Each value is checked at once. With
/// --npm, it also writes the other files of a deployment that needs Node alone.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer init
  tunnel-balancer init --host chat.example.com --server chat-a.example.com --server chat-b.example.com
  tunnel-balancer init --npm my-balancer

Exit codes: 0 written; 1 a file exists, or cannot be written; 2 an invalid value, \
or a missing one without a terminal.")]
pub(crate) struct Init {
    /// Public hostname, with a path if the servers serve only that path.
    #[arg(long)]
    host: Option<String>,

    /// Server: the hostname of its tunnel, or a URL. Repeatable, in the order of preference.
    #[arg(long)]
    server: Vec<String>,

    #[arg(long, help = format!("Selection of the server: {}", policies()))]
    policy: Option<String>,

    /// Path of the health check. It must return 2xx or 3xx only while the application works.
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,

    /// Write the folder of a deployment with npm: services.yaml, wrangler.toml, package.json, the
    /// entry and others. An existing services.yaml is kept. By default `tunnel-balancer`.
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = npm_folder::DEFAULT)]
    #[arg(conflicts_with = "output")]
    npm: Option<PathBuf>,

    /// File to write; `-` prints it.
    #[arg(short, long, value_name = "FILE", default_value = MapFile::DEFAULT)]
    output: PathBuf,

    /// Use the default policy and path without a prompt.
    #[arg(short, long)]
    yes: bool,

    /// Replace files that exist.
    #[arg(long)]
    force: bool,
}

/// The values so far.
#[derive(Clone, Debug, Default)]
struct Values {
    host: Option<String>,
    servers: Vec<String>,
    policy: Option<String>,
    health_path: Option<String>,
}

const DEFAULT_POLICY: &str = "failover";
const DEFAULT_PATH: &str = "/";

/// The schema in the repository and in the npm package.
const SCHEMA: &str = "schema/services.schema.json";

impl Init {
    pub(crate) fn run(self) -> ExitCode {
        match self.write() {
            Ok(report) => output::print(&report),
            Err((message, code)) => {
                eprintln!("{message}");
                ExitCode::from(code)
            }
        }
    }

    /// Returns the report, or an error with its exit code.
    fn write(&self) -> Result<String, (String, u8)> {
        let failed = |error: String| (format!("error: {error}"), 1);
        let Some(directory) = &self.npm else {
            self.check_new(&self.output)?;
            let text = schema_line(&self.output) + &self.values()?.text("");
            output::write(&self.output, &text, self.force).map_err(failed)?;
            let is_printed = input::is_stdio(&self.output);
            return Ok(if is_printed { String::new() } else { next_steps(&self.output, is_local(&text)) });
        };
        // Checked before the first prompt.
        npm_folder::check(directory, self.force).map_err(|message| (message, 1))?;
        let map = directory.join(MapFile::DEFAULT);
        let is_kept = map.exists() && !self.force;
        let text = if is_kept {
            if self.has_values() {
                self.check_new(&map)?;
            }
            None
        } else {
            let schema = format!("# yaml-language-server: $schema={}{SCHEMA}\n", npm_folder::PACKAGE);
            Some(schema + &self.values()?.text(npm_folder::PACKAGE))
        };
        let report = npm_folder::write(directory, text.as_deref(), self.force).map_err(failed)?;
        Ok(report + &npm_folder::next_steps(directory))
    }

    /// Returns an error if the file exists already and is not to be replaced.
    fn check_new(&self, file: &Path) -> Result<(), (String, u8)> {
        if file.exists() && !self.force {
            return Err((format!("error: {} already exists\n  hint: replace it with `--force`", file.display()), 1));
        }
        Ok(())
    }

    /// Returns whether an option sets a value of the map.
    fn has_values(&self) -> bool {
        self.host.is_some() || !self.server.is_empty() || self.policy.is_some() || self.health_path.is_some()
    }

    /// Returns the values of the options and of the prompts.
    fn values(&self) -> Result<Values, (String, u8)> {
        let values = self.given().and_then(|given| {
            if stdin().is_terminal() {
                prompt(given, self.yes, &mut stdin().lock(), &mut stderr())
            } else {
                given.complete()
            }
        });
        values.map_err(|message| (message, 2))
    }

    /// Returns the values of the options.
    fn given(&self) -> Result<Values, String> {
        let mut values = Values::default();
        let with_option = |option: &'static str| move |error: String| format!("--{option}: {error}");
        if let Some(host) = &self.host {
            values.set(|values| values.host = Some(host.clone())).map_err(with_option("host"))?;
        }
        for server in &self.server {
            values.set(|values| values.servers.push(server.clone())).map_err(with_option("server"))?;
        }
        if let Some(policy) = &self.policy {
            values.set(|values| values.policy = Some(policy.clone())).map_err(with_option("policy"))?;
        }
        if let Some(path) = &self.health_path {
            values.set(|values| values.health_path = Some(path.clone())).map_err(with_option("health-path"))?;
        }
        Ok(values)
    }
}

impl Values {
    /// Sets a value, if it is valid.
    fn set(&mut self, change: impl FnOnce(&mut Self)) -> Result<(), String> {
        let mut changed = self.clone();
        change(&mut changed);
        match changed.draft().errors().first() {
            Some(error) => Err(render(error)),
            None => {
                *self = changed;
                Ok(())
            }
        }
    }

    /// Checks that the values without a default are set.
    fn complete(self) -> Result<Self, String> {
        let missing = match (&self.host, &self.servers[..]) {
            (None, _) => "--host",
            (Some(_), []) => "--server",
            _ => return Ok(self),
        };
        Err(format!("error: {missing} is missing, and there is no terminal for a prompt"))
    }

    fn draft(&self) -> Draft {
        let mut service = DraftService::of(self.host.as_deref(), &self.servers);
        service.resolve_duplicate_names();
        service.settings = vec![
            format!("# Selection: {}.", policies().replacen("failover", "failover (list order)", 1)),
            format!("policy: {}", yaml_scalar(self.policy.as_deref().unwrap_or(DEFAULT_POLICY))),
            "# Health check: the path must return 2xx or 3xx only while the application works.".to_owned(),
            format!("health_check: {{ path: {} }}", yaml_scalar(self.health_path.as_deref().unwrap_or(DEFAULT_PATH))),
        ];
        Draft { services: vec![service], ..Draft::default() }
    }

    /// Returns the file. `repository` is the directory with `examples`.
    fn text(&self, repository: &str) -> String {
        let comments = [
            "Public hostnames and their servers, in the order of preference.",
            "Deploy changes with `npx wrangler deploy`; `tunnel-balancer serve` applies them by itself.",
            &format!("All settings and defaults: {repository}examples/all-settings.yaml."),
        ];
        Draft { comments: comments.map(str::to_owned).to_vec(), ..self.draft() }.text()
    }
}

/// Returns the names of the policies: `failover, round_robin or hash`.
fn policies() -> String {
    let names = policy_names();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// Prompts for the missing values, each until it is valid.
fn prompt(mut values: Values, yes: bool, input: &mut impl BufRead, output: &mut impl Write) -> Result<Values, String> {
    let mut dialog = Dialog { input, output };
    if values.host.is_none() {
        dialog.until_valid("Public hostname, such as chat.example.com", None, |value| {
            values.set(|values| values.host = Some(value.to_owned()))
        })?;
    }
    if values.servers.is_empty() {
        dialog.until_valid("First server: the hostname of its tunnel, such as chat-a.example.com", None, |value| {
            values.set(|values| values.servers.push(value.to_owned()))
        })?;
        dialog.until_valid("Second server (optional)", Some(""), |value| match value {
            "" => Ok(()),
            _ => values.set(|values| values.servers.push(value.to_owned())),
        })?;
    }
    if values.policy.is_none() && !yes {
        dialog.until_valid(&format!("Policy: {}", policies()), Some(DEFAULT_POLICY), |value| {
            values.set(|values| values.policy = Some(value.to_owned()))
        })?;
    }
    if values.health_path.is_none() && !yes {
        dialog.until_valid("Path of the health check", Some(DEFAULT_PATH), |value| {
            values.set(|values| values.health_path = Some(value.to_owned()))
        })?;
    }
    Ok(values)
}

struct Dialog<'a, R, W> {
    input: &'a mut R,
    output: &'a mut W,
}

impl<R: BufRead, W: Write> Dialog<'_, R, W> {
    /// Repeats a prompt until `set` accepts the value. An empty line is the default, if there is
    /// one.
    fn until_valid(
        &mut self,
        question: &str,
        default: Option<&str>,
        mut set: impl FnMut(&str) -> Result<(), String>,
    ) -> Result<(), String> {
        let shown =
            default.filter(|default| !default.is_empty()).map_or_else(String::new, |default| format!(" [{default}]"));
        loop {
            // Without a prompt, the input still counts.
            let _ = write!(self.output, "{question}{shown}: ").and_then(|()| self.output.flush());
            let mut line = String::new();
            match self.input.read_line(&mut line) {
                Ok(0) => return Err("\nerror: unexpected end of input".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(format!("error: cannot read the input: {error}")),
            }
            let value = match (line.trim(), default) {
                ("", Some(default)) => default,
                (value, _) => value,
            };
            match set(value) {
                Ok(()) => return Ok(()),
                Err(error) => drop(writeln!(self.output, "{error}")),
            }
        }
    }
}

/// Returns the comment by which editors find the schema, if it is beside the file as in a clone of
/// this repository.
fn schema_line(file: &Path) -> String {
    let is_beside = file.with_file_name(SCHEMA).is_file();
    if is_beside { format!("# yaml-language-server: $schema={SCHEMA}\n") } else { String::new() }
}

/// Returns whether `serve` reaches the servers of a map, and a Worker does not.
fn is_local(text: &str) -> bool {
    let has_unreachable = |platform| {
        let warnings = parse_for(text, platform).map(|config| config.warnings).unwrap_or_default();
        warnings.iter().any(|warning| warning.code == Code::Unreachable)
    };
    has_unreachable(Platform::Worker) && !has_unreachable(Platform::Serve)
}

fn next_steps(file: &Path, is_local: bool) -> String {
    let file = file.display().to_string();
    let (copy, option) = match file.as_str() {
        MapFile::DEFAULT => (String::new(), String::new()),
        _ => {
            let quoted = shell::quoted(&file);
            (format!("cp {quoted} {} && ", MapFile::DEFAULT), format!(" -f {quoted}"))
        }
    };
    let simulate = ("simulate", "simulate an outage of the first server");
    let commands: &[(&str, &str)] = if is_local {
        &[
            ("check --for serve", "report errors"),
            simulate,
            ("probe", "run every health check once from this machine"),
            ("serve", "run the reverse proxy on this machine"),
        ]
    } else {
        &[
            ("check", "report errors and estimated usage"),
            simulate,
            ("generate cloudflared --tunnel NAME=PATTERN", "print the rules of a tunnel"),
            ("generate wrangler --write", "write the routes into wrangler.toml"),
        ]
    };
    let commands =
        commands.iter().map(|(command, purpose)| (format!("{command}{option}"), purpose)).collect::<Vec<_>>();
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    let lines = commands.iter().map(|(command, purpose)| format!("  tunnel-balancer {command:width$}  {purpose}\n"));
    let deploy = if is_local { String::new() } else { format!("  {copy}npx wrangler deploy\n") };
    format!("wrote {file}\n\nNext:\n{}{deploy}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::parse;

    use super::*;

    /// Returns the output and the result of a dialog.
    fn dialog(typed: &str, yes: bool) -> (String, Result<Values, String>) {
        let mut shown = Vec::new();
        let values = prompt(Values::default(), yes, &mut typed.as_bytes(), &mut shown);
        (String::from_utf8(shown).unwrap(), values)
    }

    #[test]
    fn each_prompt_is_repeated_until_the_value_is_valid() {
        let (shown, values) = dialog(
            "https://chat.example.com\nchat.example.com\nchat.example.com\nchat-a.example.com\nchat-a.example.com\n\
             http://10.0.0.2:8080\nrandm\n\nhealth\n/health\n",
            false,
        );
        let expected = "\
Public hostname, such as chat.example.com: error[invalid-host]: `https://chat.example.com` is a URL, not a hostname
  hint: write `chat.example.com`
Public hostname, such as chat.example.com: \
First server: the hostname of its tunnel, such as chat-a.example.com: \
error[loop]: the server `chat.example.com` is a public host of this file
  hint: give the tunnel a hostname of its own: requests to a public host return to this balancer
First server: the hostname of its tunnel, such as chat-a.example.com: \
Second server (optional): error[invalid-servers]: duplicate server `https://chat-a.example.com`
  hint: remove one of them: to change its share of the traffic, set `weight`
Second server (optional): \
Policy: failover, round_robin, random, least_requests, latency or hash [failover]: \
error[invalid-value]: unknown policy `randm`
  hint: did you mean `random`?
Policy: failover, round_robin, random, least_requests, latency or hash [failover]: \
Path of the health check [/]: error[invalid-value]: expected a path that starts with `/`, found \"health\"
  hint: write `/health`
Path of the health check [/]: ";
        assert_eq!(shown, expected);
        let service = parse(&values.unwrap().draft().text()).unwrap().services.remove(0);
        assert_eq!((service.host.as_str(), service.servers().len()), ("chat.example.com", 2));
        assert_eq!(service.health_check.unwrap().path, "/health");
    }

    #[test]
    fn yes_skips_prompts_with_defaults() {
        let (shown, values) = dialog("chat.example.com\nchat-a.example.com\n\n", true);
        assert!(!shown.contains("Policy") && !shown.contains("Path"), "{shown}");
        assert_eq!(parse(&values.unwrap().draft().text()).unwrap().services[0].servers().len(), 1);
    }

    #[test]
    fn the_end_of_input_is_an_error() {
        assert_eq!(dialog("chat.example.com\n", false).1.unwrap_err(), "\nerror: unexpected end of input");
    }
}
