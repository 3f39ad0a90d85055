//! The command line, parsed into plain data. By hand: seven commands and four options do not earn a
//! dependency that every `cargo xtask` would have to compile.

use std::path::PathBuf;

use crate::failure::Failure;
use crate::help::Topic;
use crate::step::Step;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    /// Print a help text.
    Help(Topic),
    /// Make this machine able to build.
    Setup,
    /// Build the Worker.
    Build(BuildOptions),
    /// Run the Worker locally.
    Dev {
        /// The port asked for.
        port: Option<u16>,
    },
    /// Run the checks.
    Test(Vec<Step>),
    /// Measure what choosing a server costs.
    Bench,
    /// Run the tests of the engine on mutants of it, with these options of cargo-mutants.
    Mutants(Vec<String>),
}

/// How to build the Worker.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BuildOptions {
    /// The configuration to compile in, as given, if given.
    pub(crate) services: Option<PathBuf>,
    /// Quick to build rather than small and fast.
    pub(crate) debug: bool,
    /// With a way for clients to make it panic.
    pub(crate) panic_on_demand: bool,
}

impl BuildOptions {
    /// For the test of what becomes of other requests when one panics.
    pub(crate) fn panic_on_demand() -> Self {
        Self { panic_on_demand: true, ..Self::default() }
    }
}

/// Parses the arguments after the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Invocation, Failure> {
    let mut args = args.into_iter();
    let Some(command) = args.next() else {
        return Ok(Invocation::Help(Topic::Overview));
    };
    let rest: Vec<String> = args.collect();
    let wants_help = rest.iter().any(|arg| arg == "--help" || arg == "-h");
    match command.as_str() {
        "help" | "--help" | "-h" => Ok(Invocation::Help(Topic::Overview)),
        "setup" if wants_help => Ok(Invocation::Help(Topic::Setup)),
        "build" if wants_help => Ok(Invocation::Help(Topic::Build)),
        "dev" if wants_help => Ok(Invocation::Help(Topic::Dev)),
        "test" if wants_help => Ok(Invocation::Help(Topic::Test)),
        "bench" if wants_help => Ok(Invocation::Help(Topic::Bench)),
        "mutants" if rest.first().is_some_and(|arg| arg == "--help" || arg == "-h") => {
            Ok(Invocation::Help(Topic::Mutants))
        }
        "setup" => without_options(&rest, Invocation::Setup, "cargo xtask setup --help"),
        "build" => parse_build(rest),
        "dev" => parse_dev(rest),
        "test" => parse_test(&rest),
        "bench" => without_options(&rest, Invocation::Bench, "cargo xtask bench --help"),
        "mutants" => parse_mutants(rest),
        _ => Err(unknown("command", &command, &["setup", "build", "dev", "test", "bench", "mutants"], "cargo xtask")),
    }
}

fn without_options(args: &[String], invocation: Invocation, help: &str) -> Result<Invocation, Failure> {
    match args.first() {
        None => Ok(invocation),
        Some(arg) => Err(unknown("option", arg, &[], help)),
    }
}

fn parse_build(args: Vec<String>) -> Result<Invocation, Failure> {
    let mut options = BuildOptions::default();
    let mut args = split_equals(args);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--services" => options.services = Some(value(&arg, args.next())?.into()),
            "--debug" => options.debug = true,
            "--panic-on-demand" => options.panic_on_demand = true,
            _ => {
                let known = ["--services", "--debug", "--panic-on-demand"];
                return Err(unknown("option", &arg, &known, "cargo xtask build --help"));
            }
        }
    }
    Ok(Invocation::Build(options))
}

fn parse_dev(args: Vec<String>) -> Result<Invocation, Failure> {
    let mut port = None;
    let mut args = split_equals(args);
    while let Some(arg) = args.next() {
        if arg != "--port" {
            return Err(unknown("option", &arg, &["--port"], "cargo xtask dev --help"));
        }
        let text = value(&arg, args.next())?;
        let number = text.parse().map_err(|_| {
            Failure::usage(format!("`{text}` is not a port"))
                .hint("a port is a number from 1 to 65535, for example `--port 8787`")
        })?;
        port = Some(number);
    }
    Ok(Invocation::Dev { port })
}

fn parse_test(args: &[String]) -> Result<Invocation, Failure> {
    if args.iter().any(|arg| arg == "--list") {
        return Ok(Invocation::Help(Topic::Steps));
    }
    let wanted = args
        .iter()
        .map(|arg| {
            let step = Step::ALL.into_iter().find(|step| step.name() == arg);
            step.ok_or_else(|| {
                let names = Step::ALL.map(Step::name);
                unknown("step", arg, &names, "cargo xtask test --list")
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let is_wanted = |step: &Step| if wanted.is_empty() { !step.opt_in() } else { wanted.contains(step) };
    // In their own order, whatever the order asked for: later steps build on earlier ones.
    let in_order = Step::ALL.into_iter().filter(is_wanted).collect();
    Ok(Invocation::Test(in_order))
}

fn parse_mutants(mut args: Vec<String>) -> Result<Invocation, Failure> {
    match args.first() {
        Some(arg) if arg != "--" => {
            let failure = Failure::usage(format!("unknown option `{arg}`"));
            Err(failure.hint("options of cargo-mutants follow `--`: see `cargo xtask mutants --help`"))
        }
        Some(_) => Ok(Invocation::Mutants(args.split_off(1))),
        None => Ok(Invocation::Mutants(args)),
    }
}

/// `--port=80` means `--port 80`.
fn split_equals(args: Vec<String>) -> impl Iterator<Item = String> {
    args.into_iter().flat_map(|arg| match arg.split_once('=') {
        Some((name, value)) if name.starts_with("--") => vec![name.to_owned(), value.to_owned()],
        _ => vec![arg],
    })
}

fn value(option: &str, next: Option<String>) -> Result<String, Failure> {
    next.filter(|text| !text.is_empty() && !text.starts_with("--"))
        .ok_or_else(|| Failure::usage(format!("{option} needs a value")))
}

fn unknown(kind: &str, given: &str, known: &[&str], help: &str) -> Failure {
    let nearest = known.iter().map(|name| (distance(given, name), name)).min().filter(|(distance, _)| *distance <= 2);
    let hint = match nearest {
        Some((_, name)) => format!("did you mean `{name}`? See `{help}`"),
        None => format!("see `{help}`"),
    };
    Failure::usage(format!("unknown {kind} `{given}`")).hint(hint)
}

/// How many letters must be inserted, removed or replaced to make one word of the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, Failure> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn no_arguments_print_the_overview() {
        assert_eq!(parsed("").unwrap(), Invocation::Help(Topic::Overview));
    }

    #[test]
    fn every_command_has_help() {
        for (line, topic) in [
            ("--help", Topic::Overview),
            ("setup --help", Topic::Setup),
            ("build --debug -h", Topic::Build),
            ("dev --help", Topic::Dev),
            ("test fmt --help", Topic::Test),
            ("bench --help", Topic::Bench),
            ("mutants --help", Topic::Mutants),
        ] {
            assert_eq!(parsed(line).unwrap(), Invocation::Help(topic), "{line}");
        }
    }

    #[test]
    fn build_takes_a_file_and_debug() {
        let expected =
            || Invocation::Build(BuildOptions { services: Some("a.yaml".into()), debug: true, panic_on_demand: false });
        assert_eq!(parsed("build --services a.yaml --debug").unwrap(), expected());
        assert_eq!(parsed("build --debug --services=a.yaml").unwrap(), expected());
        assert_eq!(parsed("build --panic-on-demand").unwrap(), Invocation::Build(BuildOptions::panic_on_demand()));
    }

    #[test]
    fn dev_takes_a_port() {
        assert_eq!(parsed("dev --port 80").unwrap(), Invocation::Dev { port: Some(80) });
        assert_eq!(parsed("dev").unwrap(), Invocation::Dev { port: None });
    }

    #[test]
    fn test_runs_all_steps_but_opt_in_ones_or_those_named_in_their_own_order() {
        let (opt_in, others): (Vec<_>, Vec<_>) = Step::ALL.iter().partition(|step| step.opt_in());
        assert_eq!(opt_in, [Step::Browser, Step::Words]);
        assert_eq!(parsed("test").unwrap(), Invocation::Test(others));
        assert_eq!(parsed("test browser").unwrap(), Invocation::Test(vec![Step::Browser]));
        assert_eq!(parsed("test clippy fmt").unwrap(), Invocation::Test(vec![Step::Fmt, Step::Clippy]));
    }

    #[test]
    fn mutants_passes_options_on() {
        let options = |options: &[&str]| Invocation::Mutants(options.iter().map(|&option| option.to_owned()).collect());
        assert_eq!(parsed("mutants").unwrap(), options(&[]));
        assert_eq!(parsed("mutants -- --shard 1/4 --help").unwrap(), options(&["--shard", "1/4", "--help"]));
    }

    #[test]
    fn mistakes_are_named_with_a_hint() {
        for (line, expected) in [
            ("biuld", "error: unknown command `biuld`\nhint: did you mean `build`? See `cargo xtask`"),
            ("launch", "error: unknown command `launch`\nhint: see `cargo xtask`"),
            ("test clipy", "error: unknown step `clipy`\nhint: did you mean `clippy`? See `cargo xtask test --list`"),
            ("build --services", "error: --services needs a value"),
            ("build --services --debug", "error: --services needs a value"),
            (
                "dev --port http",
                "error: `http` is not a port\nhint: a port is a number from 1 to 65535, for example `--port 8787`",
            ),
            ("setup now", "error: unknown option `now`\nhint: see `cargo xtask setup --help`"),
            (
                "mutants --shard 1/4",
                "error: unknown option `--shard`\nhint: options of cargo-mutants follow `--`: see `cargo xtask mutants --help`",
            ),
            ("bench now", "error: unknown option `now`\nhint: see `cargo xtask bench --help`"),
        ] {
            assert_eq!(parsed(line).unwrap_err().to_string(), expected, "{line}");
        }
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("build", "build"), 0);
        assert_eq!(distance("biuld", "build"), 2);
        assert_eq!(distance("", "dev"), 3);
    }
}
