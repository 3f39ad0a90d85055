//! The command line, parsed into plain data.

use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

use crate::failure::Failure;
use crate::help::Topic;
use crate::step::Step;

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    Help(Topic),
    Setup,
    Build(BuildOptions),
    Dev {
        port: Option<u16>,
    },
    Test {
        steps: Vec<Step>,
        /// Passed on to the steps.
        filter: Vec<String>,
    },
    Bless,
    Bench,
    /// With options of cargo-mutants.
    Mutants(Vec<String>),
}

/// How to build the Worker.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BuildOptions {
    /// The configuration to compile in, if not the default one.
    pub(crate) services: Option<PathBuf>,
    /// Optimized for build time instead of size and speed.
    pub(crate) debug: bool,
    /// A build in which a request can cause a panic.
    pub(crate) panic_on_demand: bool,
}

impl BuildOptions {
    /// The build for the tests of panics.
    pub(crate) fn panic_on_demand() -> Self {
        Self { panic_on_demand: true, ..Self::default() }
    }
}

/// Parses the arguments after the program's name.
pub(crate) fn parse(args: impl IntoIterator<Item = String>) -> Result<Invocation, Failure> {
    let mut args: Vec<String> = args.into_iter().collect();
    let passed_on = args.iter().position(|arg| arg == "--").map(|separator| args.split_off(separator).split_off(1));
    let passed_on = passed_on.unwrap_or_default();
    let mut parser = Parser::from_args(args);
    let topic = match parser.next()? {
        None | Some(Arg::Short('h') | Arg::Long("help")) => return Ok(Invocation::Help(Topic::Overview)),
        Some(Arg::Value(command)) => topic(&command.string()?)?,
        Some(arg) => return Err(arg.unexpected().into()),
    };
    let (mut build, mut port, mut steps) = (BuildOptions::default(), None, Vec::new());
    while let Some(arg) = parser.next()? {
        match (topic, arg) {
            (_, Arg::Short('h') | Arg::Long("help")) => return Ok(Invocation::Help(topic)),
            (Topic::Build, Arg::Long("services")) => build.services = Some(parser.value()?.into()),
            (Topic::Build, Arg::Long("debug")) => build.debug = true,
            (Topic::Build, Arg::Long("panic-on-demand")) => build.panic_on_demand = true,
            (Topic::Dev, Arg::Long("port")) => port = Some(parser.value()?.parse()?),
            (Topic::Test, Arg::Long("list")) => return Ok(Invocation::Help(Topic::Steps)),
            (Topic::Test, Arg::Value(name)) => steps.push(step(&name.string()?)?),
            (_, arg) => return Err(arg.unexpected().into()),
        }
    }
    match topic {
        Topic::Test => test(&steps, passed_on),
        Topic::Mutants => Ok(Invocation::Mutants(passed_on)),
        _ if !passed_on.is_empty() => Err(Failure::usage("unexpected arguments after `--`")),
        Topic::Overview | Topic::Steps => Ok(Invocation::Help(topic)),
        Topic::Setup => Ok(Invocation::Setup),
        Topic::Build => Ok(Invocation::Build(build)),
        Topic::Dev => Ok(Invocation::Dev { port }),
        Topic::Bless => Ok(Invocation::Bless),
        Topic::Bench => Ok(Invocation::Bench),
    }
}

fn topic(command: &str) -> Result<Topic, Failure> {
    let topic = Topic::COMMANDS.into_iter().find(|(name, ..)| *name == command).map(|(_, topic, _)| topic);
    topic.ok_or_else(|| {
        let names = Topic::COMMANDS.map(|(name, ..)| name).join(", ");
        Failure::usage(format!("unknown command `{command}`, expected one of {names}"))
    })
}

fn step(name: &str) -> Result<Step, Failure> {
    Step::ALL.into_iter().find(|step| step.name() == name).ok_or_else(|| {
        let names = Step::ALL.map(Step::name).join(", ");
        Failure::usage(format!("unknown step `{name}`, expected one of {names}"))
    })
}

/// The named steps in their order, whatever the order of the names: later steps use the output of
/// earlier ones. Without names, all steps that are not opt-in.
fn test(named: &[Step], filter: Vec<String>) -> Result<Invocation, Failure> {
    let is_selected = |step: &Step| if named.is_empty() { !step.opt_in() } else { named.contains(step) };
    let steps: Vec<Step> = Step::ALL.into_iter().filter(is_selected).collect();
    match steps.iter().find(|step| !step.takes_filter()) {
        Some(step) if !filter.is_empty() => {
            let names = Step::ALL.into_iter().filter(|step| step.takes_filter()).map(Step::name);
            Err(Failure::usage(format!("step `{}` takes no filter", step.name()))
                .hint(format!("name only steps that take one: {}", names.collect::<Vec<_>>().join(", "))))
        }
        _ => Ok(Invocation::Test { steps, filter }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Invocation, Failure> {
        parse(line.split_whitespace().map(str::to_owned))
    }

    fn test(steps: &[Step], filter: &[&str]) -> Invocation {
        Invocation::Test { steps: steps.to_vec(), filter: filter.iter().map(|&part| part.to_owned()).collect() }
    }

    #[test]
    fn no_arguments_print_the_overview() {
        assert_eq!(parsed("").unwrap(), Invocation::Help(Topic::Overview));
        assert_eq!(parsed("--help").unwrap(), Invocation::Help(Topic::Overview));
    }

    #[test]
    fn every_command_has_help() {
        for (command, topic, _) in Topic::COMMANDS {
            assert_eq!(parsed(&format!("{command} --help")).unwrap(), Invocation::Help(topic));
        }
        assert_eq!(parsed("build --debug -h").unwrap(), Invocation::Help(Topic::Build));
        assert_eq!(parsed("test fmt --help").unwrap(), Invocation::Help(Topic::Test));
        assert_eq!(parsed("test --list").unwrap(), Invocation::Help(Topic::Steps));
    }

    #[test]
    fn build_takes_a_file_and_debug() {
        let expected = || BuildOptions { services: Some("a.yaml".into()), debug: true, panic_on_demand: false };
        assert_eq!(parsed("build --services a.yaml --debug").unwrap(), Invocation::Build(expected()));
        assert_eq!(parsed("build --debug --services=a.yaml").unwrap(), Invocation::Build(expected()));
        assert_eq!(parsed("build --panic-on-demand").unwrap(), Invocation::Build(BuildOptions::panic_on_demand()));
    }

    #[test]
    fn dev_takes_a_port() {
        assert_eq!(parsed("dev --port 80").unwrap(), Invocation::Dev { port: Some(80) });
        assert_eq!(parsed("dev").unwrap(), Invocation::Dev { port: None });
    }

    #[test]
    fn test_runs_named_steps_in_their_order_or_all_that_are_not_opt_in() {
        let (opt_in, others): (Vec<_>, Vec<_>) = Step::ALL.iter().partition(|step| step.opt_in());
        assert_eq!(opt_in, [Step::Browser, Step::Apps]);
        assert_eq!(parsed("test").unwrap(), test(&others, &[]));
        assert_eq!(parsed("test browser").unwrap(), test(&[Step::Browser], &[]));
        assert_eq!(parsed("test clippy fmt").unwrap(), test(&[Step::Fmt, Step::Clippy], &[]));
    }

    #[test]
    fn arguments_after_a_separator_are_passed_on() {
        let filter = ["worker::affinity", "--nocapture"];
        let line = "test conformance -- worker::affinity --nocapture";
        assert_eq!(parsed(line).unwrap(), test(&[Step::Conformance], &filter));
        let options = ["--shard", "1/4", "--help"].map(str::to_owned).to_vec();
        assert_eq!(parsed("mutants -- --shard 1/4 --help").unwrap(), Invocation::Mutants(options));
        assert_eq!(parsed("mutants").unwrap(), Invocation::Mutants(Vec::new()));
    }

    #[test]
    fn errors_name_the_argument() {
        for (line, expected) in [
            ("biuld", "error: unknown command `biuld`, expected one of setup, build, dev, test, bless, bench, mutants"),
            (
                "test fmt clippy -- x",
                "error: step `fmt` takes no filter\n\
                 hint: name only steps that take one: words, unit, conformance, apps",
            ),
            ("build --services", "error: missing argument for option '--services'"),
            ("dev --port http", "error: cannot parse argument \"http\": invalid digit found in string"),
            ("setup now", "error: unexpected argument \"now\""),
            ("mutants --shard 1/4", "error: invalid option '--shard'"),
            ("bench -- now", "error: unexpected arguments after `--`"),
        ] {
            assert_eq!(parsed(line).unwrap_err().to_string(), expected, "{line}");
        }
        let step = parsed("test clipy").unwrap_err().to_string();
        assert!(step.starts_with("error: unknown step `clipy`, expected one of fmt, words, "), "{step}");
    }
}
