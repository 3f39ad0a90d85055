//! `tunnel-balancer simulate`: outages on a virtual clock.

mod balancer;
mod fault;
mod format;
mod latency;
mod outage;
mod outcome;
mod quota;
mod report;
mod script;
mod svg;
mod text;
mod timeline;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tunnel_balancer_config::scenario::Scenario;
use tunnel_balancer_config::{parse, parse_scenario};

use crate::map_file::{MapFile, hint_for};
use crate::{input, map_file, output};
use balancer::Balancer;
use report::RunReport;

/// Simulate an outage on a virtual clock: lost requests, time to failover, and usage.
///
/// A scenario states the request rates, and how servers behave from a time on: they go down, hang,
/// slow down, return. It runs through the engine of the Worker, in as many isolates as it states,
/// within seconds. The output is a timeline, lost requests, latency, the share of each server, and
/// the usage of Cloudflare's free plan.
///
/// Equal scenarios, settings and seeds give equal results. Affinity cookies, secrets,
/// `expect_header` and `expect_body` are not simulated.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer simulate
  tunnel-balancer simulate --service git.example.com --svg outage.svg
  tunnel-balancer simulate examples/scenarios/primary-530.yaml --compare script
  tunnel-balancer simulate outage.yaml -f services.yaml --seed 7

All keys of a scenario: examples/scenarios/all-keys.yaml

Exit codes: 0 simulated, also if requests were lost; 1 cannot write the output; 2 errors in a file or in the command.")]
pub(crate) struct Simulate {
    /// Scenario to run; `-` reads standard input. Default: the tunnel of a service's first server
    /// is down for two minutes.
    scenario: Option<PathBuf>,

    /// Map of public hosts and their servers, instead of the one in the scenario; `-` reads
    /// standard input. Default without a scenario: services.yaml.
    #[arg(short, long, value_name = "FILE")]
    file: Option<PathBuf>,

    /// Without a scenario: public host of the service. Default: the first service with two servers.
    #[arg(long, value_name = "HOST", conflicts_with = "scenario")]
    service: Option<String>,

    /// Seed of all random choices.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Draw the run as an SVG file: a lane per server, and one for lost requests. `-` prints the
    /// drawing instead of the results.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Run the same scenario with another balancer for comparison.
    #[arg(long, value_name = "BALANCER")]
    compare: Option<Baseline>,

    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Baseline {
    /// A Worker script with a list of servers and a health check.
    Script,
}

/// The results of one scenario.
#[derive(Debug, Serialize)]
struct Results<'a> {
    title: &'a str,
    service: String,
    seed: u64,
    duration_ms: u64,
    isolates: usize,
    #[serde(skip)]
    scenario: &'a Scenario,
    /// The engine's run, and that of a baseline if one is compared.
    runs: Vec<RunReport>,
}

impl Simulate {
    pub(crate) fn run(self) -> ExitCode {
        let scenario = match self.scenario() {
            Ok(scenario) => scenario,
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::from(2);
            }
        };
        let inputs = [self.scenario.as_deref(), self.map()];
        if let Some(file) = self.svg.as_deref()
            && inputs.into_iter().flatten().any(|input| input::is_same_file(input, file))
        {
            eprintln!("error: --svg {} would replace an input", file.display());
            return ExitCode::from(2);
        }
        let results = match self.compare {
            None => Results::new(&scenario, self.seed, &[Balancer::Engine]),
            Some(Baseline::Script) => Results::new(&scenario, self.seed, &[Balancer::Engine, Balancer::Script]),
        };
        if let Some(file) = &self.svg
            && let Err(error) = output::write(file, &svg::draw(&results), true)
        {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
        if self.svg.as_deref().is_some_and(input::is_stdio) {
            return ExitCode::SUCCESS;
        }
        let text = if self.json {
            // Serialization cannot fail: all keys are strings.
            serde_json::to_string_pretty(&results).unwrap_or_default() + "\n"
        } else {
            text::write(&results)
        };
        output::print(&text)
    }

    /// Returns the map, which a scenario may have in itself.
    fn map(&self) -> Option<&Path> {
        self.file.as_deref().or_else(|| self.scenario.is_none().then(|| Path::new(MapFile::DEFAULT)))
    }

    fn scenario(&self) -> Result<Scenario, String> {
        let map = self.map().map(|path| map_file::load(path).map(|config| config.services)).transpose()?;
        let Some(path) = &self.scenario else {
            return outage::scenario(&map.unwrap_or_default(), self.service.as_deref());
        };
        let yaml = input::yaml(path)?;
        parse_scenario(&yaml, map.as_deref()).map_err(|errors| match parse(&yaml) {
            Ok(_) => {
                let name = input::name(path);
                format!("error: {name} is a map, not a scenario{}", hint_for(&path.to_string_lossy()))
            }
            Err(_) => output::rendered(&errors, &input::name(path), &yaml),
        })
    }
}

impl<'a> Results<'a> {
    fn new(scenario: &'a Scenario, seed: u64, balancers: &[Balancer]) -> Self {
        let run = |balancer: &Balancer| RunReport::new(*balancer, scenario, balancer.run(scenario, seed));
        Self {
            title: &scenario.title,
            service: scenario.service.name(),
            seed,
            duration_ms: format::millis(scenario.duration),
            isolates: scenario.isolates,
            scenario,
            runs: balancers.iter().map(run).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use super::*;

    const BOTH: [Balancer; 2] = [Balancer::Engine, Balancer::Script];

    fn example(name: &str) -> Scenario {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/scenarios").join(name);
        parse_scenario(&input::yaml(&file).unwrap(), None).unwrap()
    }

    fn scenario(yaml: &str) -> Scenario {
        parse_scenario(yaml, None).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// A 530 is a status, so the script passes it on until it probes again.
    #[test]
    fn only_the_script_loses_requests_while_a_tunnel_is_down() {
        let scenario = example("primary-530.yaml");
        let results = Results::new(&scenario, 1, &BOTH);
        let [engine, script] = &results.runs[..] else { panic!("two runs") };
        assert_eq!(engine.requests, script.requests);
        assert_eq!((engine.lost, engine.faults[0].last_loss), (0, None));
        assert!(engine.faults[0].failover.unwrap() < Duration::from_secs(1), "{:?}", engine.faults);
        assert!(script.lost > 200, "{}", script.lost);
        assert_eq!(script.lost_by.keys().collect::<Vec<_>>(), ["530 from primary"]);
        // Its interval is 30 s. Some isolate probes nearly that long after the fault, and none much
        // later.
        let last = script.faults[0].last_loss.unwrap();
        assert!((Duration::from_secs(25)..Duration::from_secs(35)).contains(&last), "{last:?}");

        let svg = svg::draw(&results);
        let (above, below) = svg.split_once(">Original script: ").unwrap();
        let bars = "<path class=\"lost\"";
        assert!(!above.contains(bars) && above.contains("0 of 3,085 requests lost"), "{above}");
        assert!(below.contains(bars), "{below}");
    }

    /// Requests that arrive during a fault and are held are served after its end.
    #[test]
    fn held_requests_count_as_served_after_the_fault() {
        let yaml = "
services: { app.example.com: { servers: [a.example.com], retry: { hold: 30s } } }
duration: 1m
requests: { GET: 5 }
timeline: { 20s: { a: refuses }, 25s: { a: up } }
";
        let scenario = scenario(yaml);
        let run = &Results::new(&scenario, 1, &[Balancer::Engine]).runs[0];
        assert_eq!(run.lost, 0);
        let failover = run.faults[0].failover.unwrap();
        assert!((Duration::from_secs(5)..Duration::from_secs(6)).contains(&failover), "{failover:?}");
    }

    #[test]
    fn requests_are_limited_to_the_subrequests_of_the_free_plan() {
        let yaml = |free_plan| {
            format!(
                "
services: {{ app.example.com: {{ servers: [a.example.com, b.example.com], retry: {{ hold: 20s }} }} }}
duration: 5m
free_plan: {free_plan}
requests: {{ GET: 0.05 }}
timeline: {{ 10s: {{ a: refuses, b: refuses }} }}
"
            )
        };
        let most = |free_plan| {
            let scenario = scenario(&yaml(free_plan));
            Results::new(&scenario, 1, &BOTH[..1]).runs[0].quota.max_subrequests
        };
        assert_eq!(most(true), 50);
        assert!(most(false) > 50);
    }

    /// `UPDATE=1 cargo test -p tunnel-balancer` draws it again; view it before you commit it.
    #[test]
    fn the_drawing_in_the_documentation_is_current() {
        let scenario = example("primary-530.yaml");
        let drawn = svg::draw(&Results::new(&scenario, 1, &BOTH));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulate.svg");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, &drawn).unwrap();
        }
        assert!(input::yaml(&file).unwrap() == drawn, "docs/simulate.svg is outdated");
    }

    #[test]
    fn equal_seeds_give_equal_results() {
        let scenario = example("all-keys.yaml");
        let all = |seed| {
            let results = Results::new(&scenario, seed, &BOTH);
            (serde_json::to_string(&results).unwrap(), text::write(&results), svg::draw(&results))
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1).0, all(2).0);
    }

    #[test]
    fn every_example_has_its_output_in_a_test_case() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let cases = input::yaml(&root.join("tests/cmd/simulate.trycmd")).unwrap();
        let files = fs::read_dir(root.join("../../examples/scenarios")).unwrap();
        let names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.len() >= 6, "{names:?}");
        for name in names {
            assert!(cases.contains(&format!("examples/scenarios/{name}")), "{name}");
        }
    }
}
