//! A runner of GitHub: it evaluates the steps of `action.yml` and runs them in a shallow clone.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::github::GitHub;

/// Records its deployments with the variables that it needs.
const WRANGLER: &str = r#"#!/bin/sh
[ "$1" = deploy ] || { echo '{ "versions": [] }'; exit; }
[ ! -e fails ] || { echo 'X [ERROR] the upload failed' >&2; exit 7; }
echo "$*, token: $CLOUDFLARE_API_TOKEN, account: ${CLOUDFLARE_ACCOUNT_ID-unset}" >>wrangler-calls
echo '{"type":"deploy","version_id":"v1"}' >>"$WRANGLER_OUTPUT_FILE_PATH"
"#;

/// A step of the action.
#[derive(Default)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) run: String,
    condition: String,
    variables: Vec<(String, String)>,
}

/// Reads the steps of the action, which is written in one style.
pub(crate) fn steps() -> Vec<Step> {
    let (_, steps) = text().split_once("  steps:\n").map(|(a, b)| (a.to_owned(), b.to_owned())).unwrap();
    let mut read: Vec<Step> = Vec::new();
    for line in steps.lines() {
        if let Some(name) = line.strip_prefix("    - name: ") {
            read.push(Step { name: name.to_owned(), ..Step::default() });
            continue;
        }
        let Some(step) = read.last_mut() else { continue };
        if let Some(variable) = line.strip_prefix("        ") {
            let (name, value) = variable.split_once(": ").unwrap();
            step.variables.push((name.to_owned(), value.to_owned()));
        } else if let Some(run) = line.strip_prefix("      run: ") {
            step.run = run.to_owned();
        } else if let Some(condition) = line.strip_prefix("      if: ") {
            step.condition = condition.to_owned();
        }
    }
    assert!(read.len() >= 5 && read.iter().all(|step| !step.run.is_empty()));
    read
}

/// A job of a workflow that uses the action.
pub(crate) struct Runner {
    directory: tempfile::TempDir,
    /// The values of expressions, such as `inputs.files`.
    context: BTreeMap<String, String>,
    pub(crate) server_url: String,
}

impl Runner {
    /// Creates a repository with this map on its branch `main`, and a job of a push.
    pub(crate) fn new(github: &GitHub, map: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut context: BTreeMap<String, String> = inputs().collect();
        for (name, value) in [
            ("github.token", "job"),
            ("github.action_ref", "v9"),
            ("github.action_repository", "owner/repo"),
            ("github.repository", "owner/repo"),
            ("github.event_name", "push"),
            ("github.event.before", ""),
            ("github.event.pull_request.number", ""),
        ] {
            context.insert(name.to_owned(), value.to_owned());
        }
        let runner = Self { directory, context, server_url: github.url.clone() };
        fs::create_dir(runner.path("temp")).unwrap();
        fs::create_dir(runner.path("origin")).unwrap();
        runner.git("origin", &["init", "--quiet", "--initial-branch", "main"]);
        let config = "name = \"balancer\"\nroutes = [\"chat.example.com/*\"]\n";
        fs::write(runner.path("origin/wrangler.toml"), config).unwrap();
        runner.commit(map);
        runner.check_out("main");
        runner
    }

    /// Changes the map on a branch that is checked out, as the event of a pull request.
    pub(crate) fn pull_request(&mut self, map: &str) {
        self.git("origin", &["checkout", "--quiet", "-B", "change", "main"]);
        self.commit(map);
        self.git("origin", &["checkout", "--quiet", "main"]);
        self.check_out("change");
        self.set("github.event_name", "pull_request");
        self.set("github.event.pull_request.number", "7");
    }

    /// Changes the map on `main`, as the event of a push.
    pub(crate) fn push(&mut self, map: &str) {
        let before = self.git("origin", &["rev-parse", "HEAD"]);
        self.commit(map);
        self.check_out("main");
        self.set("github.event_name", "push");
        self.set("github.event.before", before.trim());
    }

    pub(crate) fn input(&mut self, name: &str, value: &str) {
        let name = format!("inputs.{name}");
        assert!(self.context.contains_key(&name), "{name}");
        self.set(&name, value);
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        let path = self.path("workspace").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Removes the directory for temporary files.
    pub(crate) fn remove_temp(&self) {
        fs::remove_dir_all(self.path("temp")).unwrap();
    }

    pub(crate) fn exists(&self, file: &str) -> bool {
        self.path("workspace").join(file).exists()
    }

    /// Returns the calls of wrangler since the last time.
    pub(crate) fn wrangler_calls(&self) -> String {
        let file = self.path("workspace/wrangler-calls");
        let calls = fs::read_to_string(&file).unwrap_or_default();
        let _ = fs::remove_file(file);
        calls
    }

    pub(crate) fn summary(&self) -> String {
        fs::read_to_string(self.path("summary")).unwrap()
    }

    /// Runs all steps up to the first failure. Returns the log.
    pub(crate) fn run(&self) -> Result<String, String> {
        let files = ["path", "summary"].map(|name| self.path(name));
        files.iter().for_each(|file| fs::write(file, "").unwrap());
        let mut log = String::new();
        for step in steps().iter().filter(|step| self.holds(&step.condition)) {
            let added = fs::read_to_string(&files[0]).unwrap();
            let path = added.lines().rev().map(str::to_owned).chain(std::env::var("PATH"));
            let mut bash = Command::new("bash");
            bash.args(["--noprofile", "--norc", "-eo", "pipefail", "-c", &step.run])
                .current_dir(self.path("workspace"))
                .env("PATH", path.collect::<Vec<_>>().join(":"))
                .env("GITHUB_ACTION_PATH", root())
                .env("GITHUB_SERVER_URL", &self.server_url)
                .env("GITHUB_API_URL", format!("{}/api", self.server_url))
                .env("GITHUB_REPOSITORY", "owner/repo")
                .env("GITHUB_BASE_REF", "main")
                .env("GITHUB_PATH", &files[0])
                .env("GITHUB_STEP_SUMMARY", &files[1])
                .env("RUNNER_TEMP", self.path("temp"))
                .envs([("RUNNER_OS", "Linux"), ("RUNNER_ARCH", "X64")])
                .envs(step.variables.iter().map(|(name, value)| (name, self.value(value))));
            let output = bash.output().unwrap();
            log += &String::from_utf8(output.stdout).unwrap();
            log += &String::from_utf8(output.stderr).unwrap();
            if !output.status.success() {
                return Err(log);
            }
        }
        Ok(log)
    }

    /// Returns whether a condition holds: comparisons that are joined by `&&`.
    fn holds(&self, condition: &str) -> bool {
        let compare = |comparison: &str| {
            let is = |(name, value): (&str, &str)| self.context[name] == value.trim_matches('\'');
            let unequal = comparison.split_once(" != ").map(|sides| !is(sides));
            unequal.unwrap_or_else(|| is(comparison.split_once(" == ").unwrap()))
        };
        condition.is_empty() || condition.split(" && ").all(compare)
    }

    /// Evaluates a value: an expression, or a string.
    fn value(&self, text: &str) -> String {
        let Some(expression) = text.strip_prefix("${{ ").and_then(|text| text.strip_suffix(" }}")) else {
            return text.to_owned();
        };
        let values = expression.split(" || ").map(|name| self.value(&self.context[name]));
        values.into_iter().find(|value| !value.is_empty()).unwrap_or_default()
    }

    fn set(&mut self, name: &str, value: &str) {
        self.context.insert(name.to_owned(), value.to_owned());
    }

    fn commit(&self, map: &str) {
        fs::write(self.path("origin/services.yaml"), map).unwrap();
        self.git("origin", &["add", "--all"]);
        self.git("origin", &["commit", "--quiet", "--allow-empty", "--message", "Change the map"]);
    }

    /// Clones a branch as `actions/checkout` does: its last commit alone.
    fn check_out(&self, branch: &str) {
        let _ = fs::remove_dir_all(self.path("workspace"));
        let origin = format!("file://{}", self.path("origin").display());
        self.git(".", &["clone", "--quiet", "--depth", "1", "--branch", branch, &origin, "workspace"]);
        self.write("node_modules/.bin/wrangler", WRANGLER);
        let wrangler = self.path("workspace/node_modules/.bin/wrangler");
        fs::set_permissions(wrangler, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn git(&self, directory: &str, arguments: &[&str]) -> String {
        let mut git = Command::new("git");
        git.args(["-c", "user.name=x", "-c", "user.email=x@example.com"]).args(arguments);
        let output = git.current_dir(self.path(directory)).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

/// Returns the inputs with their defaults.
fn inputs() -> impl Iterator<Item = (String, String)> {
    let text = text();
    let (_, inputs) = text.split_once("\ninputs:\n").unwrap();
    let (inputs, _) = inputs.split_once("\nruns:\n").unwrap();
    let mut name = String::new();
    let mut read = Vec::new();
    for line in inputs.lines() {
        match line.strip_prefix("    default: ") {
            Some(default) => read.push((format!("inputs.{name}"), default.trim_matches('\'').to_owned())),
            None if !line.starts_with("   ") => name = line.trim().trim_end_matches(':').to_owned(),
            None => {}
        }
    }
    read.into_iter()
}

fn text() -> String {
    fs::read_to_string(root().join("action.yml")).unwrap()
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
