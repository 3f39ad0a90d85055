//! The program wrangler: what it reports about the Worker, and the deployment.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};
use std::time::Duration;

use serde_json::Value;

use super::programs::Programs;

/// The variable that names the file to which wrangler appends what it did, as lines of JSON.
const OUTPUT_FILE: &str = "WRANGLER_OUTPUT_FILE_PATH";

/// How wrangler is called.
#[derive(Debug)]
pub(super) struct Wrangler {
    program: PathBuf,
    /// Arguments before the command.
    before: Vec<OsString>,
    /// Arguments after the command: the file and the environment.
    after: Vec<OsString>,
    programs: Programs,
    /// The longest time of a command that changes nothing.
    limit: Duration,
}

impl Wrangler {
    const READ_LIMIT: Duration = Duration::from_secs(60);

    /// Finds the program: the named one, that of the closest `node_modules`, or that of `npx`.
    ///
    /// # Errors
    /// If signals cannot be passed on to it, for the terminal.
    pub(super) fn find(named: Option<&Path>, config: &Path, environment: Option<&str>) -> Result<Self, String> {
        let programs = Programs::new().map_err(|error| format!("error: cannot receive signals: {error}"))?;
        let mut after = vec![OsString::from("--config"), config.as_os_str().to_owned()];
        after.extend(environment.into_iter().flat_map(|name| ["--env".into(), name.into()]));
        let installed = || {
            let config = std::path::absolute(config).ok()?;
            let name = if cfg!(windows) { "wrangler.cmd" } else { "wrangler" };
            let candidates = config.ancestors().skip(1).map(|folder| folder.join("node_modules/.bin").join(name));
            candidates.into_iter().find(|path| path.is_file())
        };
        let (program, before) = match named.map(Path::to_owned).or_else(installed) {
            Some(program) => (program, Vec::new()),
            None => (PathBuf::from(if cfg!(windows) { "npx.cmd" } else { "npx" }), vec!["wrangler".into()]),
        };
        Ok(Self { program, before, after, programs, limit: Self::READ_LIMIT })
    }

    /// Returns the names of the Worker's secrets; none if there is no Worker yet.
    ///
    /// # Errors
    /// Why they cannot be read, for the terminal.
    pub(super) fn secrets(&self) -> Result<Vec<String>, String> {
        let command = ["secret", "list"];
        let output = self.capture(&command)?;
        if is_unknown_worker(&output) {
            return Ok(Vec::new());
        }
        let secrets = self.json(&command, &output)?;
        let names = secrets.as_array().into_iter().flatten().filter_map(|secret| secret["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    }

    /// Returns the versions of the Worker that have traffic; none if there is no Worker yet.
    ///
    /// # Errors
    /// Why they cannot be read, for the terminal.
    pub(super) fn versions(&self) -> Result<Vec<String>, String> {
        let command = ["deployments", "status", "--json"];
        let output = self.capture(&command)?;
        if is_unknown_worker(&output) {
            return Ok(Vec::new());
        }
        let status = self.json(&command, &output)?;
        let versions = status["versions"].as_array().into_iter().flatten();
        Ok(versions.filter_map(|version| version["version_id"].as_str()).map(str::to_owned).collect())
    }

    /// Deploys, with the output of wrangler on that of this command. Returns the version, if
    /// wrangler reports it.
    ///
    /// # Errors
    /// If wrangler cannot be started or fails, for the terminal.
    pub(super) fn deploy(&self, arguments: &[OsString]) -> Result<Option<String>, String> {
        let file = tempfile::Builder::new().prefix("tunnel-balancer-").suffix(".ndjson").tempfile();
        let file = file.map_err(|error| format!("error: cannot create a temporary file: {error}"))?;
        // A file that the caller named is kept.
        let report = std::env::var_os(OUTPUT_FILE).map_or_else(|| file.path().to_owned(), PathBuf::from);
        let mut command = self.command(["deploy"].map(OsStr::new));
        command.args(arguments).env(OUTPUT_FILE, &report);
        let status = self.programs.run(&mut command).map_err(|error| self.not_started(&error))?;
        let version = std::fs::read_to_string(report).ok().and_then(|report| version(&report));
        // Its exit code is 0 also after a signal.
        if self.is_interrupted() && version.is_none() {
            return Err(interrupted("deploy"));
        }
        if !status.success() {
            return Err(failure("deploy", status));
        }
        Ok(version)
    }

    /// Returns whether a signal has stopped a command.
    pub(super) fn is_interrupted(&self) -> bool {
        self.programs.is_interrupted()
    }

    fn capture(&self, command: &[&str]) -> Result<Output, String> {
        let name = command.join(" ");
        let output = self.programs.capture(&mut self.command(command.iter().map(OsStr::new)), self.limit);
        match output.map_err(|error| self.not_started(&error))? {
            _ if self.is_interrupted() => Err(interrupted(&name)),
            Some(output) => Ok(output),
            None => Err(format!(
                "error: `wrangler {name}` did not end within {} s\n  hint: run `npx wrangler {name}`, which shows the \
                 cause",
                self.limit.as_secs()
            )),
        }
    }

    fn command<'a>(&self, command: impl IntoIterator<Item = &'a OsStr>) -> Command {
        let mut wrangler = Command::new(&self.program);
        wrangler.args(&self.before).args(command).args(&self.after);
        wrangler
    }

    fn json(&self, command: &[&str], output: &Output) -> Result<Value, String> {
        let name = command.join(" ");
        if !output.status.success() {
            let text = text(output);
            let hint = if text.contains("CLOUDFLARE_API_TOKEN") {
                "\n  hint: log in with `npx wrangler login`, or set CLOUDFLARE_API_TOKEN"
            } else {
                ""
            };
            return Err(format!("{}\n{}{hint}", failure(&name, output.status), text.trim()));
        }
        let printed = String::from_utf8_lossy(&output.stdout);
        document(&printed)
            .ok_or_else(|| format!("error: expected JSON of `wrangler {name}`, found {:?}", printed.trim()))
    }

    fn not_started(&self, error: &std::io::Error) -> String {
        let program = self.program.display();
        format!("error: cannot start {program}: {error}\n  hint: install it with `npm install --save-dev wrangler`")
    }
}

/// Returns the document at the end of an output. Warnings may be above it.
fn document(text: &str) -> Option<Value> {
    let is_line_start = |at: usize| text.get(..at).is_some_and(|before| before.is_empty() || before.ends_with('\n'));
    let mut starts = text.match_indices(['[', '{']).map(|(at, _)| at).filter(|at| is_line_start(*at));
    starts.find_map(|at| serde_json::from_str(text.get(at..)?).ok())
}

/// Returns whether the Worker does not exist. Codes of Cloudflare's API: 10007, and 10090 for an
/// environment.
fn is_unknown_worker(output: &Output) -> bool {
    let text = text(output);
    let is_named = text.lines().any(|line| line.contains("Worker \"") && line.contains("not found"));
    !output.status.success() && (is_named || text.contains("code: 10007") || text.contains("code: 10090"))
}

fn failure(command: &str, status: ExitStatus) -> String {
    format!("error: `wrangler {command}` failed ({status})")
}

fn interrupted(command: &str) -> String {
    format!("error: a signal stopped `wrangler {command}`")
}

fn text(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).join("\n")
}

/// Returns the version of the last deployment in the report of wrangler.
fn version(report: &str) -> Option<String> {
    let mut entries = report.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let deployed = entries.rfind(|entry| entry["type"] == "deploy")?;
    deployed["version_id"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_wrangler_is_called() {
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("a b/c");
        let bin = directory.path().join("a b/node_modules/.bin");
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::create_dir_all(&inner).unwrap();
        let config = inner.join("wrangler.toml");
        let program = |named| {
            let wrangler = Wrangler::find(named, &config, None).unwrap();
            wrangler.command(["deploy"].map(OsStr::new)).get_program().to_owned()
        };
        let npx = if cfg!(windows) { "npx.cmd" } else { "npx" };
        assert_eq!(program(None), npx);
        let installed = bin.join(if cfg!(windows) { "wrangler.cmd" } else { "wrangler" });
        std::fs::write(&installed, "").unwrap();
        assert_eq!(program(None), installed);
        assert_eq!(program(Some(Path::new("own"))), "own");
    }

    #[cfg(unix)]
    #[test]
    fn commands_that_only_read_have_a_time_limit() {
        let config = Path::new("wrangler.toml");
        // `sh -c` has the options of wrangler as further arguments.
        let wrangler = Wrangler::find(Some(Path::new("sh")), config, None).unwrap();
        let before = vec!["-c".into(), "exec sleep 1000".into()];
        let hung = Wrangler { before, limit: Duration::ZERO, ..wrangler };
        let expected = "error: `wrangler secret list` did not end within 0 s\n  hint: run `npx wrangler secret list`, \
            which shows the cause";
        assert_eq!(hung.secrets(), Err(expected.to_owned()));
        assert!(hung.versions().unwrap_err().starts_with("error: `wrangler deployments status --json` did not end"));
    }

    #[test]
    fn the_last_deployment_has_the_version() {
        let report = "{\"type\":\"wrangler-session\"}\n{\"type\":\"deploy\",\"version_id\":\"1\"}\n\
            {\"type\":\"deploy\",\"version_id\":\"2\"}\n{\"type\":\"x\",\"version_id\":\"3\"}\nno JSON\n";
        assert_eq!(version(report).as_deref(), Some("2"));
        assert_eq!(version("{\"type\":\"deploy\",\"version_id\":null}\n"), None);
    }

    #[test]
    fn documents_are_found_below_warnings() {
        assert_eq!(document("[]\n"), Some(Value::Array(Vec::new())));
        let value = document("[WARNING] x\n\n[\n  { \"name\": \"A\" }\n]\n").unwrap();
        assert_eq!(value[0]["name"], "A");
        assert_eq!(document("none"), None);
    }
}
