//! `tunnel-balancer simulate`: an outage on a virtual clock, before it happens.

mod balancer;
mod format;
mod outage;
mod report;
mod script;
mod svg;
mod text;
mod timeline;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde::Serialize;
use tunnel_balancer_config::Config;
use tunnel_balancer_config::scenario::Scenario;

use crate::{input, output};
use balancer::Balancer;
use report::Report;

/// Play an outage on a virtual clock: what is lost, how soon others take over, what it costs.
///
/// A scenario is a short file that says which requests come and what servers do when: die, hang,
/// slow down, come back. It runs through the same engine that serves, in as many isolates as it
/// says, within a second or two. Printed are what happened when, the requests in all and those that
/// were lost, how long it took until others served, the share of each server, and what was used of
/// the free plan of Cloudflare Workers.
///
/// Equal scenarios, settings and seeds give equal results. Not simulated are affinity cookies,
/// secrets, and what `expect_header` and `expect_body` of a health check look for.
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  tunnel-balancer simulate
  tunnel-balancer simulate --services services.yaml --service git.example.com --svg outage.svg
  tunnel-balancer simulate examples/scenarios/primary-530.yaml --compare script
  tunnel-balancer simulate examples/scenarios/primary-hangs.yaml --svg outage.svg
  tunnel-balancer simulate outage.yaml --services services.yaml --seed 7

Exit codes: 0 it ran, whatever was lost; 1 a picture or the result cannot be written; 2 mistakes in a file or the command.

Every key of a scenario is in examples/scenarios/all-keys.yaml.")]
pub(crate) struct Simulate {
    /// What happens. Without it, the tunnel of a service's first server is down for two minutes.
    scenario: Option<PathBuf>,

    /// Take the services of this file, and not those in the scenario. Default without a scenario:
    /// services.yaml.
    #[arg(long, value_name = "FILE")]
    services: Option<PathBuf>,

    /// Without a scenario: the service it happens to. Default: the first that has two servers.
    #[arg(long, value_name = "HOST", conflicts_with = "scenario")]
    service: Option<String>,

    /// Decides everything that is left to chance.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,

    /// Draw it: a lane for each server, and the requests that were lost.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,

    /// Run the same beside it through another balancer.
    #[arg(long, value_name = "WHAT")]
    compare: Option<Baseline>,

    /// Print one JSON document instead of text.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Baseline {
    /// The script of 100 lines that Tunnel Balancer took the place of.
    Script,
}

/// Everything that is printed or drawn.
#[derive(Debug, Serialize)]
struct Results<'a> {
    title: &'a str,
    service: String,
    seed: u64,
    duration_ms: u64,
    isolates: usize,
    #[serde(skip)]
    scenario: &'a Scenario,
    /// Ours, and perhaps a rival's.
    runs: Vec<Report>,
}

impl Simulate {
    pub(crate) fn run(self) -> ExitCode {
        let scenario = match self.read() {
            Ok(scenario) => scenario,
            Err(message) => {
                eprintln!("{message}");
                return ExitCode::from(2);
            }
        };
        let results = match self.compare {
            None => Results::of(&scenario, self.seed, &[Balancer::Ours]),
            Some(Baseline::Script) => Results::of(&scenario, self.seed, &[Balancer::Ours, Balancer::Script]),
        };
        if let Some(file) = &self.svg
            && let Err(error) = fs::write(file, svg::draw(&results))
        {
            eprintln!("error: cannot write {}: {error}", file.display());
            return ExitCode::FAILURE;
        }
        let said = if self.json {
            // Nothing in it can fail: all keys are texts.
            serde_json::to_string_pretty(&results).unwrap_or_default() + "\n"
        } else {
            text::write(&results)
        };
        output::print(&said)
    }

    fn read(&self) -> Result<Scenario, String> {
        let services = |file: &Path| {
            let config: Result<Config, _> = tunnel_balancer_config::parse(&input::yaml(file)?);
            config.map(|config| config.services).map_err(|errors| in_file(&errors, file))
        };
        let Some(file) = &self.scenario else {
            let named = self.services.as_deref().unwrap_or_else(|| Path::new("services.yaml"));
            return outage::of(&services(named)?, self.service.as_deref());
        };
        let services = self.services.as_deref().map(services).transpose()?;
        let read = tunnel_balancer_config::parse_scenario(&input::yaml(file)?, services.as_deref());
        read.map_err(|errors| in_file(&errors, file))
    }
}

impl<'a> Results<'a> {
    fn of(scenario: &'a Scenario, seed: u64, balancers: &[Balancer]) -> Self {
        let run = |balancer: &Balancer| Report::new(*balancer, scenario, balancer.run(scenario, seed));
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

fn in_file(errors: &tunnel_balancer_config::Errors, file: &Path) -> String {
    errors.in_file(&file.display().to_string()).to_string()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const BOTH: [Balancer; 2] = [Balancer::Ours, Balancer::Script];

    fn example(name: &str) -> Scenario {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/scenarios").join(name);
        tunnel_balancer_config::parse_scenario(&input::yaml(&file).unwrap(), None).unwrap()
    }

    /// The reason why there is Tunnel Balancer: a 530 is a status, so the script passes it on until
    /// it probes again.
    #[test]
    fn the_script_loses_requests_until_it_probes_again_and_ours_loses_none() {
        let scenario = example("primary-530.yaml");
        let results = Results::of(&scenario, 1, &BOTH);
        let [ours, script] = &results.runs[..] else { panic!("two runs") };
        assert_eq!(ours.requests, script.requests);
        assert_eq!((ours.lost, ours.faults[0].last_lost), (0, None));
        assert!(ours.faults[0].failover.unwrap() < Duration::from_secs(1), "{:?}", ours.faults);
        assert!(script.lost > 200, "{}", script.lost);
        assert_eq!(script.lost_by.keys().collect::<Vec<_>>(), ["530 from primary"]);
        // Its interval is 30 s; some isolate probes nearly that long after the fault, and none
        // later by more than the gap between two requests.
        let last = script.faults[0].last_lost.unwrap();
        assert!((Duration::from_secs(25)..Duration::from_secs(35)).contains(&last), "{last:?}");

        let svg = svg::draw(&results);
        let (above, below) = svg.split_once(">Original script: ").unwrap();
        let bars = "<path class=\"lost\"";
        assert!(!above.contains(bars) && above.contains("none of 3,085 requests lost"), "{above}");
        assert!(below.contains(bars), "{below}");
    }

    /// `UPDATE=1 cargo test -p tunnel-balancer` draws it anew; look at it before you commit it.
    #[test]
    fn the_picture_in_the_documentation_is_what_is_drawn() {
        let scenario = example("primary-530.yaml");
        let drawn = svg::draw(&Results::of(&scenario, 1, &BOTH));
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/simulate.svg");
        if std::env::var_os("UPDATE").is_some() {
            fs::write(&file, &drawn).unwrap();
        }
        assert!(input::yaml(&file).unwrap() == drawn, "docs/simulate.svg is another picture");
    }

    #[test]
    fn equal_seeds_give_equal_results_and_others_do_not() {
        let scenario = example("all-keys.yaml");
        let all = |seed| {
            let results = Results::of(&scenario, seed, &BOTH);
            (serde_json::to_string(&results).unwrap(), text::write(&results), svg::draw(&results))
        };
        assert_eq!(all(1), all(1));
        assert_ne!(all(1).0, all(2).0);
    }

    #[test]
    fn every_scenario_that_is_shipped_has_its_output_written_down() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let written = input::yaml(&root.join("tests/cmd/simulate.trycmd")).unwrap();
        let files = fs::read_dir(root.join("../../examples/scenarios")).unwrap();
        let names: Vec<String> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        assert!(names.len() >= 6, "{names:?}");
        for name in names {
            assert!(written.contains(&format!("examples/scenarios/{name}")), "{name}");
        }
    }
}
