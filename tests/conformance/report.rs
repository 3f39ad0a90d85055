//! The differences between the hosts, printed at the end of a run.
//!
//! "All passed" is misleading if cases do not apply to a host, so these cases are listed with their
//! reasons.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use tunnel_balancer_tests::Host;
use tunnel_balancer_tests::target::LIMITS;

/// The results of all cases of a run.
#[derive(Default)]
pub(crate) struct Report(Mutex<BTreeMap<String, BTreeMap<Host, CaseResult>>>);

/// The result of a case on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum CaseResult {
    Passed,
    Failed,
    NotApplicable(&'static str),
}

impl Report {
    /// Adds the result of a case.
    pub(crate) fn add(&self, case: String, host: Host, result: CaseResult) {
        self.0.lock().expect("no panic while locked").entry(case).or_default().insert(host, result);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cases = self.0.lock().expect("no panic while locked");
        writeln!(f, "host           passed  failed  not applicable")?;
        for host in Host::ALL {
            let count = |wanted: fn(CaseResult) -> bool| {
                cases.values().filter_map(|results| results.get(&host)).filter(|result| wanted(**result)).count()
            };
            let passed = count(|result| result == CaseResult::Passed);
            let failed = count(|result| result == CaseResult::Failed);
            let others = count(|result| matches!(result, CaseResult::NotApplicable(_)));
            writeln!(f, "{:<13}  {passed:>6}  {failed:>6}  {others:>14}", host.name())?;
        }

        let listed = exceptions(&cases);
        for ((host, why), names) in &listed {
            writeln!(f, "\nNot on {}, because {why}:", host.name())?;
            names.iter().try_for_each(|name| writeln!(f, "  {name}"))?;
        }
        let limits = LIMITS.map(|(host, limit, why)| format!("  {} without {limit:?}: {why}\n", host.name())).concat();
        writeln!(f, "\nCases that check less on one host:\n{limits}")?;

        let differing = cases.iter().filter(|(_, results)| is_differing(results));
        let differing: Vec<String> = differing.map(|(name, results)| format!("\n  {name}: {results:?}")).collect();
        let others = if listed.is_empty() { "" } else { " other than those above" };
        let none = format!(" none{others}");
        writeln!(f, "Differences between the hosts:{}\n", if differing.is_empty() { none } else { differing.concat() })
    }
}

type Exceptions<'a> = BTreeMap<(Host, &'static str), Vec<&'a str>>;

fn exceptions(cases: &BTreeMap<String, BTreeMap<Host, CaseResult>>) -> Exceptions<'_> {
    let mut exceptions = Exceptions::new();
    for (name, results) in cases {
        for (host, result) in results {
            if let CaseResult::NotApplicable(why) = result {
                exceptions.entry((*host, why)).or_default().push(name);
            }
        }
    }
    exceptions
}

fn is_differing(results: &BTreeMap<Host, CaseResult>) -> bool {
    let has = |wanted| results.values().any(|result| *result == wanted);
    has(CaseResult::Passed) && has(CaseResult::Failed)
}
