//! `tunnel-balancer init`: a first services.yaml, by asking.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use tunnel_balancer_config::yaml_text;

use crate::draft::{Draft, DraftService, told};
use crate::output;

/// Write a first services.yaml: one public host and its servers.
///
/// Asks for what the options do not say, if it runs on a terminal. Each answer is checked at once,
/// as the file would be.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer init
  tunnel-balancer init --host chat.example.com --server chat-a.example.com --server chat-b.example.com --health-path /health

Exit codes: 0 written; 1 the file is there already, or cannot be written; 2 a wrong answer, or one is missing and nobody can be asked.")]
pub(crate) struct Init {
    /// The public hostname, with a path where it is only for a part of it.
    #[arg(long)]
    host: Option<String>,

    /// A server: the hostname of its tunnel, or a URL. Given once for each, in the order they are
    /// tried.
    #[arg(long)]
    server: Vec<String>,

    /// Which server is tried first: failover, round_robin, random, least_requests, latency or hash.
    #[arg(long)]
    policy: Option<String>,

    /// The path that each server is asked for; it answers 2xx or 3xx only while the application
    /// works.
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,

    /// The file to write.
    #[arg(long, value_name = "FILE", default_value = "services.yaml")]
    output: PathBuf,

    /// Take the defaults instead of asking for policy and path.
    #[arg(short, long)]
    yes: bool,

    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
}

/// What is known so far.
#[derive(Clone, Debug, Default)]
struct Answers {
    host: Option<String>,
    servers: Vec<String>,
    policy: Option<String>,
    health_path: Option<String>,
}

const DEFAULT_POLICY: &str = "failover";
const DEFAULT_PATH: &str = "/";

impl Init {
    pub(crate) fn run(self) -> ExitCode {
        // Before anybody is asked anything in vain.
        if self.output.exists() && !self.force {
            eprintln!("error: {} is there already\n  hint: `--force` replaces it", self.output.display());
            return ExitCode::FAILURE;
        }
        let is_asked = stdin().is_terminal();
        let answers = self.given().and_then(|given| {
            if is_asked { ask(given, self.yes, &mut stdin().lock(), &mut stderr()) } else { given.complete() }
        });
        let answers = match answers {
            Ok(answers) => answers,
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::from(2);
            }
        };
        let text = schema_line(&self.output) + &answers.draft().text();
        match output::write(&self.output, &text, self.force) {
            Ok(()) => output::print(&next_steps(&self.output)),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        }
    }

    /// The answers that options gave.
    fn given(&self) -> Result<Answers, String> {
        let mut answers = Answers::default();
        let wrong = |option: &'static str| move |mistake: String| format!("--{option}: {mistake}");
        if let Some(host) = &self.host {
            answers.take(|answers| answers.host = Some(host.clone())).map_err(wrong("host"))?;
        }
        for server in &self.server {
            answers.take(|answers| answers.servers.push(server.clone())).map_err(wrong("server"))?;
        }
        if let Some(policy) = &self.policy {
            answers.take(|answers| answers.policy = Some(policy.clone())).map_err(wrong("policy"))?;
        }
        if let Some(path) = &self.health_path {
            answers.take(|answers| answers.health_path = Some(path.clone())).map_err(wrong("health-path"))?;
        }
        Ok(answers)
    }
}

impl Answers {
    /// Takes an answer in, unless it is wrong.
    fn take(&mut self, answer: impl FnOnce(&mut Self)) -> Result<(), String> {
        let mut changed = self.clone();
        answer(&mut changed);
        match changed.draft().mistakes().first() {
            Some(mistake) => Err(told(mistake)),
            None => {
                *self = changed;
                Ok(())
            }
        }
    }

    /// These answers, if those are there that have no default.
    fn complete(self) -> Result<Self, String> {
        let missing = match (&self.host, &self.servers[..]) {
            (None, _) => "--host",
            (Some(_), []) => "--server",
            _ => return Ok(self),
        };
        Err(format!("error: {missing} is missing, and there is no terminal to ask on"))
    }

    fn draft(&self) -> Draft {
        let mut service = DraftService::of(self.host.as_deref(), &self.servers);
        service.name_apart();
        service.settings = vec![
            "# Which is tried first: failover (the first of the list), round_robin, random, least_requests, latency or hash.".to_owned(),
            format!("policy: {}", yaml_text(self.policy.as_deref().unwrap_or(DEFAULT_POLICY))),
            "# What each server is asked for. It answers 2xx or 3xx only while the application works.".to_owned(),
            format!("health_check: {{ path: {} }}", yaml_text(self.health_path.as_deref().unwrap_or(DEFAULT_PATH))),
        ];
        let comments = [
            "What the balancer does: each public hostname, and the servers behind it in the order they are tried.",
            "After an edit: `npx wrangler deploy`. Every setting with its default: examples/all-settings.yaml.",
        ];
        Draft { comments: comments.map(str::to_owned).to_vec(), services: vec![service], defaults: Vec::new() }
    }
}

/// Asks for what is not given. An answer that is wrong is asked for again.
fn ask(mut answers: Answers, yes: bool, input: &mut impl BufRead, output: &mut impl Write) -> Result<Answers, String> {
    let mut asker = Asker { input, output };
    if answers.host.is_none() {
        asker.until_right("Public hostname, such as chat.example.com", None, |answer| {
            answers.take(|answers| answers.host = Some(answer.to_owned()))
        })?;
    }
    if answers.servers.is_empty() {
        asker.until_right("First server: the hostname of its tunnel, such as chat-a.example.com", None, |answer| {
            answers.take(|answers| answers.servers.push(answer.to_owned()))
        })?;
        asker.until_right("Second server (empty: there is none)", Some(""), |answer| match answer {
            "" => Ok(()),
            _ => answers.take(|answers| answers.servers.push(answer.to_owned())),
        })?;
    }
    if answers.policy.is_none() && !yes {
        let question =
            "Which server is tried first: failover (the first), round_robin, random, least_requests, latency or hash";
        asker.until_right(question, Some(DEFAULT_POLICY), |answer| {
            answers.take(|answers| answers.policy = Some(answer.to_owned()))
        })?;
    }
    if answers.health_path.is_none() && !yes {
        asker.until_right("Path that answers well only while the application works", Some(DEFAULT_PATH), |answer| {
            answers.take(|answers| answers.health_path = Some(answer.to_owned()))
        })?;
    }
    Ok(answers)
}

struct Asker<'a, R, W> {
    input: &'a mut R,
    output: &'a mut W,
}

impl<R: BufRead, W: Write> Asker<'_, R, W> {
    /// Repeats a question until `take` has nothing against the answer. An empty answer is the
    /// default, if there is one.
    fn until_right(
        &mut self,
        question: &str,
        default: Option<&str>,
        mut take: impl FnMut(&str) -> Result<(), String>,
    ) -> Result<(), String> {
        let shown =
            default.filter(|default| !default.is_empty()).map_or_else(String::new, |default| format!(" [{default}]"));
        loop {
            // Where nothing can be shown, nothing can be asked; what is read then still counts.
            let _ = write!(self.output, "{question}{shown}: ").and_then(|()| self.output.flush());
            let mut line = String::new();
            match self.input.read_line(&mut line) {
                Ok(0) => return Err("\nerror: an answer is missing".to_owned()),
                Ok(_) => {}
                Err(error) => return Err(format!("error: cannot read the answer: {error}")),
            }
            let answer = match (line.trim(), default) {
                ("", Some(default)) => default,
                (answer, _) => answer,
            };
            match take(answer) {
                Ok(()) => return Ok(()),
                Err(mistake) => drop(writeln!(self.output, "{mistake}")),
            }
        }
    }
}

/// By which editors know the keys of the file, where the schema lies beside it as in a clone of
/// this repository.
fn schema_line(file: &Path) -> String {
    const SCHEMA: &str = "schema/services.schema.json";
    let lies_beside = file.with_file_name(SCHEMA).is_file();
    if lies_beside { format!("# yaml-language-server: $schema={SCHEMA}\n") } else { String::new() }
}

fn next_steps(file: &Path) -> String {
    let file = file.display().to_string();
    let (own_file, simulate) = match file.as_str() {
        "services.yaml" => (String::new(), "simulate".to_owned()),
        _ => (format!("SERVICES_FILE={file} "), format!("simulate --services {file}")),
    };
    let commands = [
        (format!("check {file}"), "look for mistakes"),
        (simulate, "see what happens when the first server fails"),
        (format!("generate cloudflared {file}"), "what each tunnel has to serve"),
        (format!("generate wrangler {file}"), "the routes for wrangler.toml"),
    ];
    let width = commands.iter().map(|(command, _)| command.len()).max().unwrap_or_default();
    let lines = commands.iter().map(|(command, what)| format!("  tunnel-balancer {command:width$}  {what}\n"));
    format!("wrote {file}\n\nNext:\n{}  {own_file}npx wrangler deploy\n", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use tunnel_balancer_config::parse;

    use super::*;

    /// What is shown, and what comes of it.
    fn dialogue(typed: &str, yes: bool) -> (String, Result<Answers, String>) {
        let mut shown = Vec::new();
        let answers = ask(Answers::default(), yes, &mut typed.as_bytes(), &mut shown);
        (String::from_utf8(shown).unwrap(), answers)
    }

    #[test]
    fn each_answer_is_asked_for_until_it_is_right() {
        let (shown, answers) = dialogue(
            "https://chat.example.com\nchat.example.com\nchat.example.com\nchat-a.example.com\nchat-a.example.com\nhttp://10.0.0.2:8080\nrandm\n\nhealth\n/health\n",
            false,
        );
        let expected = "\
Public hostname, such as chat.example.com: error[invalid-host]: `https://chat.example.com` is a URL, not a hostname
  hint: write `chat.example.com`
Public hostname, such as chat.example.com: \
First server: the hostname of its tunnel, such as chat-a.example.com: \
error[loop]: the server `chat.example.com` is a public host of this file
  hint: its requests would come back here for ever: give the tunnel a hostname of its own
First server: the hostname of its tunnel, such as chat-a.example.com: \
Second server (empty: there is none): error[servers]: the server `https://chat-a.example.com` is listed twice
  hint: remove one: a server is not tried more often by being listed more often
Second server (empty: there is none): \
Which server is tried first: failover (the first), round_robin, random, least_requests, latency or hash [failover]: \
error[invalid-value]: unknown policy `randm`
  hint: did you mean `random`?
Which server is tried first: failover (the first), round_robin, random, least_requests, latency or hash [failover]: \
Path that answers well only while the application works [/]: error[invalid-value]: expected a path that starts with `/`, found \"health\"
  hint: write `/` and then the path
Path that answers well only while the application works [/]: ";
        assert_eq!(shown, expected);
        let service = parse(&answers.unwrap().draft().text()).unwrap().services.remove(0);
        assert_eq!((service.host.as_str(), service.servers().len()), ("chat.example.com", 2));
        assert_eq!(service.health_check.unwrap().path, "/health");
    }

    #[test]
    fn defaults_are_taken_unasked_with_yes() {
        let (shown, answers) = dialogue("chat.example.com\nchat-a.example.com\n\n", true);
        assert!(!shown.contains("Which server") && !shown.contains("Path"), "{shown}");
        assert_eq!(parse(&answers.unwrap().draft().text()).unwrap().services[0].servers().len(), 1);
    }

    #[test]
    fn an_input_that_ends_is_no_answer() {
        assert_eq!(dialogue("chat.example.com\n", false).1.unwrap_err(), "\nerror: an answer is missing");
    }
}
