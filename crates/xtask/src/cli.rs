//! The command line, parsed into plain data.

use std::ffi::OsString;
use std::path::PathBuf;

use lexopt::{Arg, Parser, ValueExt};

use crate::failure::Failure;
use crate::help::Topic;
use crate::packages::Platform;
use crate::release::ReleaseOptions;
use crate::step::Step;
use crate::version::Version;

/// A parsed command line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Invocation {
    Help(Topic),
    Setup,
    Build(BuildOptions),
    Npm(NpmOptions),
    Dev {
        port: Option<u16>,
    },
    Test {
        steps: Vec<Step>,
        /// Passed on to the steps.
        filter: Vec<String>,
    },
    Release(ReleaseOptions),
    Version {
        version: Version,
        is_dry_run: bool,
    },
    Bless,
    Bench(BenchOptions),
    /// With options of cargo-mutants.
    Mutants(Vec<String>),
}

/// How to build the Worker.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BuildOptions {
    /// Optimized for build time instead of size and speed.
    pub(crate) debug: bool,
    /// A build in which a request can cause a panic.
    pub(crate) panic_on_demand: bool,
}

/// What to measure.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct BenchOptions {
    /// The named parts; none: all.
    pub(crate) parts: Vec<String>,
    /// The options of the program that measures, which parses their values.
    pub(crate) options: Vec<OsString>,
}

impl BenchOptions {
    /// Returns a run that only checks the harness.
    pub(crate) fn smoke() -> Self {
        Self { options: vec!["--smoke".into()], ..Self::default() }
    }

    /// Returns whether the run only checks the harness.
    pub(crate) fn is_smoke(&self) -> bool {
        self.options.iter().any(|option| option == "--smoke")
    }
}

/// How to make the npm packages.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct NpmOptions {
    /// Where the tarballs go, if not to the default directory.
    pub(crate) out: Option<PathBuf>,
    /// The programs to pack, each for a target of Rust, instead of one for this machine.
    pub(crate) programs: Vec<(Platform, PathBuf)>,
    /// Only the folders, with the builds that exist.
    pub(crate) folders: bool,
}

impl BuildOptions {
    /// Returns the build for the tests of panics.
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
    let (mut build, mut bench, mut npm) = (BuildOptions::default(), BenchOptions::default(), NpmOptions::default());
    let (mut port, mut steps) = (None, Vec::new());
    let (mut release, mut version, mut is_dry_run) = (ReleaseOptions::default(), None, false);
    while let Some(arg) = parser.next()? {
        match (topic, arg) {
            (_, Arg::Short('h') | Arg::Long("help")) => return Ok(Invocation::Help(topic)),
            (Topic::Build, Arg::Long("debug")) => build.debug = true,
            (Topic::Build, Arg::Long("panic-on-demand")) => build.panic_on_demand = true,
            (Topic::Npm, Arg::Long("out")) => npm.out = Some(parser.value()?.into()),
            (Topic::Npm, Arg::Long("program")) => npm.programs.push(program(&parser.value()?.string()?)?),
            (Topic::Npm, Arg::Long("folders")) => npm.folders = true,
            (Topic::Dev, Arg::Long("port")) => port = Some(parser.value()?.parse()?),
            (Topic::Release, Arg::Long("target")) => release.targets.push(parser.value()?.string()?),
            (Topic::Release, Arg::Long("rootfs")) => release.rootfs = Some(parser.value()?.into()),
            (Topic::Version, Arg::Long("dry-run")) => is_dry_run = true,
            (Topic::Version, Arg::Value(value)) if version.is_none() => {
                version = Some(Version::parse(&value.string()?)?)
            }
            (Topic::Test, Arg::Long("list")) => return Ok(Invocation::Help(Topic::Steps)),
            (Topic::Test, Arg::Value(name)) => steps.push(step(&name.string()?)?),
            (Topic::Bench, Arg::Long("smoke")) => bench.options.push("--smoke".into()),
            (Topic::Bench, Arg::Long(name @ ("rounds" | "minutes" | "beside" | "output"))) => {
                let name = format!("--{name}");
                bench.options.extend([name.into(), parser.value()?]);
            }
            (Topic::Bench, Arg::Value(part)) => bench.parts.push(part.string()?),
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
        Topic::Npm => Ok(Invocation::Npm(npm)),
        Topic::Dev => Ok(Invocation::Dev { port }),
        Topic::Release => Ok(Invocation::Release(release)),
        Topic::Version => {
            let version = version.ok_or_else(|| Failure::usage("missing version, expected X.Y.Z"))?;
            Ok(Invocation::Version { version, is_dry_run })
        }
        Topic::Bless => Ok(Invocation::Bless),
        Topic::Bench => Ok(Invocation::Bench(bench)),
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

/// A program for a target: `TARGET=FILE`.
fn program(value: &str) -> Result<(Platform, PathBuf), Failure> {
    let (target, file) = value
        .split_once('=')
        .ok_or_else(|| Failure::usage(format!("expected `--program TARGET=FILE`, found `{value}`")))?;
    let platform = Platform::of_target(target);
    let platform = platform.ok_or_else(|| Failure::usage(format!("no npm package is made for `{target}`")))?;
    Ok((platform, file.into()))
}

/// Returns the named steps in their order, whatever the order of the names: later steps use the
/// output of earlier ones. Without names, all steps that are not opt-in.
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
    fn build_takes_the_kind_of_build() {
        let debug = BuildOptions { debug: true, panic_on_demand: false };
        assert_eq!(parsed("build --debug").unwrap(), Invocation::Build(debug));
        assert_eq!(parsed("build --panic-on-demand").unwrap(), Invocation::Build(BuildOptions::panic_on_demand()));
    }

    #[test]
    fn npm_takes_directory_and_programs() {
        let expected = NpmOptions { out: Some("packed".into()), ..NpmOptions::default() };
        assert_eq!(parsed("npm --out packed").unwrap(), Invocation::Npm(expected));
        let expected = NpmOptions { folders: true, ..NpmOptions::default() };
        assert_eq!(parsed("npm --folders").unwrap(), Invocation::Npm(expected));
        let mac = Platform::of_target("aarch64-apple-darwin").unwrap();
        let expected = NpmOptions { programs: vec![(mac, "a b".into())], ..NpmOptions::default() };
        let arguments = ["npm", "--program", "aarch64-apple-darwin=a b"].map(str::to_owned);
        assert_eq!(parse(arguments).unwrap(), Invocation::Npm(expected));
    }

    #[test]
    fn dev_takes_a_port() {
        assert_eq!(parsed("dev --port 80").unwrap(), Invocation::Dev { port: Some(80) });
        assert_eq!(parsed("dev").unwrap(), Invocation::Dev { port: None });
    }

    #[test]
    fn a_release_takes_targets_and_a_version_a_dry_run() {
        let options = |targets: &[&str], rootfs: Option<&str>| ReleaseOptions {
            targets: targets.iter().map(|&target| target.to_owned()).collect(),
            rootfs: rootfs.map(Into::into),
        };
        assert_eq!(parsed("release").unwrap(), Invocation::Release(options(&[], None)));
        let line = "release --target a --target b --rootfs root";
        assert_eq!(parsed(line).unwrap(), Invocation::Release(options(&["a", "b"], Some("root"))));
        let version = Version::parse("1.2.3").unwrap();
        assert_eq!(parsed("version 1.2.3").unwrap(), Invocation::Version { version, is_dry_run: false });
        assert_eq!(parsed("version --dry-run 1.2.3").unwrap(), Invocation::Version { version, is_dry_run: true });
    }

    #[test]
    fn test_runs_named_steps_in_their_order_or_all_that_are_not_opt_in() {
        let (opt_in, others): (Vec<_>, Vec<_>) = Step::ALL.iter().partition(|step| step.opt_in());
        let names: Vec<_> = opt_in.iter().map(|step: &Step| step.name()).collect();
        assert_eq!(names, ["status-page", "browser", "apps", "journey", "static", "platforms", "pingora"]);
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
    fn bench_takes_parts_and_options_of_the_program_that_measures() {
        let (parts, options) = (vec!["worker".to_owned()], ["--smoke", "--rounds", "3"].map(Into::into).to_vec());
        let expected = Invocation::Bench(BenchOptions { parts, options });
        assert_eq!(parsed("bench --smoke worker --rounds=3").unwrap(), expected);
        assert_eq!(parsed("bench").unwrap(), Invocation::Bench(BenchOptions::default()));
    }

    #[test]
    fn errors_name_the_argument() {
        for (line, expected) in [
            (
                "biuld",
                "error: unknown command `biuld`, expected one of setup, build, npm, dev, test, release, version, \
                 bless, bench, mutants",
            ),
            (
                "test fmt clippy -- x",
                "error: step `fmt` takes no filter\n\
                 hint: name only steps that take one: words, unit, conformance, status-page, apps",
            ),
            ("dev --port", "error: missing argument for option '--port'"),
            ("dev --port http", "error: cannot parse argument \"http\": invalid digit found in string"),
            ("npm --program sparc=a", "error: no npm package is made for `sparc`"),
            ("version", "error: missing version, expected X.Y.Z"),
            ("version 1.2", "error: invalid version `1.2`, expected X.Y.Z"),
            ("setup now", "error: unexpected argument \"now\""),
            ("mutants --shard 1/4", "error: invalid option '--shard'"),
            ("bench -- now", "error: unexpected arguments after `--`"),
            ("bench --round 3", "error: invalid option '--round'"),
        ] {
            assert_eq!(parsed(line).unwrap_err().to_string(), expected, "{line}");
        }
        let step = parsed("test clipy").unwrap_err().to_string();
        assert!(step.starts_with("error: unknown step `clipy`, expected one of fmt, words, "), "{step}");
    }
}
