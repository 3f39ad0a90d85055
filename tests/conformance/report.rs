//! What the hosts differ in, printed at the end of a run.
//!
//! A suite for several hosts is worth what it says about their differences: that a case does not
//! apply to one of them, and why, has to be seen by whoever reads "all passed".

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use tunnel_balancer_tests::Host;
use tunnel_balancer_tests::target::LIMITS;

/// How all cases that were run ended.
#[derive(Default)]
pub(crate) struct Report(Mutex<BTreeMap<String, BTreeMap<Host, Classification>>>);

/// How a case ended on a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Classification {
    Passed,
    Failed,
    NotApplicable(&'static str),
}

impl Report {
    /// Notes the end of a case.
    pub(crate) fn add(&self, case: String, host: Host, verdict: Classification) {
        self.0.lock().expect("no panic while locked").entry(case).or_default().insert(host, verdict);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cases = self.0.lock().expect("no panic while locked");
        writeln!(f, "host      passed  failed  not applicable")?;
        for host in Host::ALL {
            let count = |wanted: fn(Classification) -> bool| {
                cases.values().filter_map(|verdicts| verdicts.get(&host)).filter(|verdict| wanted(**verdict)).count()
            };
            let passed = count(|verdict| verdict == Classification::Passed);
            let failed = count(|verdict| verdict == Classification::Failed);
            let others = count(|verdict| matches!(verdict, Classification::NotApplicable(_)));
            writeln!(f, "{:<8}  {passed:>6}  {failed:>6}  {others:>14}", host.name())?;
        }

        let listed = exceptions(&cases);
        for ((host, why), names) in &listed {
            writeln!(f, "\nNot on {}, because {why}:", host.name())?;
            names.iter().try_for_each(|name| writeln!(f, "  {name}"))?;
        }
        let limits = LIMITS.map(|(host, limit, why)| format!("  {} without {limit:?}: {why}\n", host.name())).concat();
        writeln!(f, "\nCases that look at a part less on one host:\n{limits}")?;

        let uneven = cases.iter().filter(|(_, verdicts)| is_uneven(verdicts));
        let uneven: Vec<String> = uneven.map(|(name, verdicts)| format!("\n  {name}: {verdicts:?}")).collect();
        let besides = if listed.is_empty() { "" } else { " besides those above" };
        let none = format!(" none{besides}");
        writeln!(f, "Differences between the hosts:{}\n", if uneven.is_empty() { none } else { uneven.concat() })
    }
}

type Exceptions<'a> = BTreeMap<(Host, &'static str), Vec<&'a str>>;

fn exceptions(cases: &BTreeMap<String, BTreeMap<Host, Classification>>) -> Exceptions<'_> {
    let mut exceptions = Exceptions::new();
    for (name, verdicts) in cases {
        for (host, verdict) in verdicts {
            if let Classification::NotApplicable(why) = verdict {
                exceptions.entry((*host, why)).or_default().push(name);
            }
        }
    }
    exceptions
}

fn is_uneven(verdicts: &BTreeMap<Host, Classification>) -> bool {
    let has = |wanted| verdicts.values().any(|verdict| *verdict == wanted);
    has(Classification::Passed) && has(Classification::Failed)
}
