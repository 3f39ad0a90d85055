//! The goals of `goals.json`: what is aimed at, and the limit beyond which a run fails.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Result;
use crate::sheet::{Better, OURS, Sheet};
use crate::stats::Summary;

/// All goals.
#[derive(Debug)]
pub(crate) struct Goals(Vec<Goal>);

/// A goal for the rows of one table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Goal {
    part: String,
    metric: String,
    /// The name of a row, or its beginning and `*`.
    row: String,
    /// The column. Default: that of the balancer.
    subject: Option<String>,
    /// The column whose values divide those of the subject. Without it, the values themselves are
    /// compared.
    to: Option<String>,
    /// What is aimed at.
    goal: f64,
    /// The worst result that a run accepts.
    limit: f64,
}

/// A result beside its goal.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Verdict {
    metric: String,
    row: String,
    subject: String,
    to: Option<String>,
    result: Summary,
    goal: f64,
    limit: f64,
    /// The comparison.
    pub(crate) outcome: Outcome,
}

/// The comparison of a result with its goal and its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// The goal is met.
    Met,
    /// The goal is not met, and the limit is.
    Missed,
    /// The limit is exceeded: the run fails.
    BeyondLimit,
}

impl Goals {
    /// Reads `goals.json`.
    pub(crate) fn read() -> Result<Self> {
        let goals = serde_json::from_str(include_str!("../goals.json"));
        goals.map(Self).map_err(|error| format!("goals.json: {error}"))
    }

    /// Compares all results of a sheet that have a goal. The first goal of a row counts.
    pub(crate) fn judge(&self, sheet: &Sheet) -> Vec<Verdict> {
        let mut verdicts: Vec<Verdict> = Vec::new();
        let of_part = || self.0.iter().filter(|goal| goal.part == sheet.part);
        for table in &sheet.tables {
            for row in &table.rows {
                for goal in of_part().filter(|goal| goal.metric == table.metric.name && goal.matches(&row.name)) {
                    let subject = goal.subject.as_deref().unwrap_or(OURS);
                    let is_known = |verdict: &Verdict| {
                        (verdict.metric == goal.metric && verdict.row == row.name && verdict.subject == subject)
                            && verdict.to == goal.to
                    };
                    if verdicts.iter().any(is_known) {
                        continue;
                    }
                    let Some(cell) = row.cell(subject) else { continue };
                    let result = match &goal.to {
                        Some(to) => row.cell(to).and_then(|to| Summary::of_ratios(&cell.values, &to.values)),
                        None => Some(cell.summary),
                    };
                    let Some(result) = result else { continue };
                    verdicts.push(goal.judge(&row.name, subject, result, table.metric.better));
                }
            }
        }
        verdicts
    }

    /// Returns a message for each goal of a part that none of its rows has.
    pub(crate) fn without_row(&self, sheet: &Sheet) -> Vec<String> {
        let has_row = |goal: &Goal| {
            let mut tables = sheet.tables.iter().filter(|table| table.metric.name == goal.metric);
            tables.any(|table| table.rows.iter().any(|row| goal.matches(&row.name)))
        };
        let goals = self.0.iter().filter(|goal| goal.part == sheet.part && !has_row(goal));
        goals.map(|goal| format!("not judged, as no row is `{}`: {}", goal.row, goal.metric)).collect()
    }
}

impl Goal {
    fn matches(&self, row: &str) -> bool {
        self.row.strip_suffix('*').map_or(self.row == row, |beginning| row.starts_with(beginning))
    }

    fn judge(&self, row: &str, subject: &str, result: Summary, better: Better) -> Verdict {
        let is_within = |bound: f64| match better {
            Better::Lower => result.median <= bound,
            Better::Higher => result.median >= bound,
        };
        let outcome = match (is_within(self.goal), is_within(self.limit)) {
            (true, _) => Outcome::Met,
            (false, true) => Outcome::Missed,
            (false, false) => Outcome::BeyondLimit,
        };
        let (metric, to) = (self.metric.clone(), self.to.clone());
        let (row, subject) = (row.to_owned(), subject.to_owned());
        Verdict { metric, row, subject, to, result, goal: self.goal, limit: self.limit, outcome }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Met => "met",
            Outcome::Missed => "MISSED",
            Outcome::BeyondLimit => "BEYOND THE LIMIT",
        };
        write!(f, "{outcome}: {}, {}: ", self.metric, self.row)?;
        if self.subject != OURS {
            write!(f, "{}, ", self.subject)?;
        }
        let Summary { median, min, max } = self.result;
        match &self.to {
            Some(to) => write!(f, "{median:.2} times {to} ({min:.2} to {max:.2})")?,
            None => write!(f, "{median:.1} ({min:.1} to {max:.1})")?,
        }
        write!(f, ", goal {}, limit {}", self.goal, self.limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sheet::Metric;

    const CPU: Metric = Metric::lower("cpu", "µs");
    const RATE: Metric = Metric::higher("rate", "/s");

    fn goals() -> Goals {
        let goals = r#"[{ "part": "p", "metric": "cpu", "row": "GET*", "to": "peer", "goal": 1.0, "limit": 1.5 },
                        { "part": "p", "metric": "rate", "row": "*", "to": "peer", "goal": 1.0, "limit": 0.5 }]"#;
        Goals(serde_json::from_str(goals).unwrap())
    }

    fn judged(metric: Metric, ours: f64, peer: f64) -> Option<Outcome> {
        let mut sheet = Sheet::new("p", "");
        sheet.record(metric, "GET, small", OURS, ours);
        sheet.record(metric, "GET, small", "peer", peer);
        goals().judge(&sheet).first().map(|verdict| verdict.outcome)
    }

    #[test]
    fn goals_without_a_row_are_reported() {
        let mut sheet = Sheet::new("p", "");
        sheet.record(CPU, "GET, small", OURS, 1.0);
        assert_eq!(goals().without_row(&sheet), ["not judged, as no row is `*`: rate"]);
        sheet.record(RATE, "POST, small", OURS, 1.0);
        assert!(goals().without_row(&sheet).is_empty());
        assert!(goals().without_row(&Sheet::new("other", "")).is_empty());
    }

    #[test]
    fn results_are_met_missed_or_beyond_the_limit() {
        assert_eq!(judged(CPU, 100.0, 100.0), Some(Outcome::Met));
        assert_eq!(judged(CPU, 120.0, 100.0), Some(Outcome::Missed));
        assert_eq!(judged(CPU, 151.0, 100.0), Some(Outcome::BeyondLimit));
        assert_eq!(judged(RATE, 120.0, 100.0), Some(Outcome::Met));
        assert_eq!(judged(RATE, 60.0, 100.0), Some(Outcome::Missed));
        assert_eq!(judged(RATE, 40.0, 100.0), Some(Outcome::BeyondLimit));
    }

    #[test]
    fn goals_of_the_repository_are_valid_and_no_limit_is_stricter_than_its_goal() {
        let Goals(goals) = Goals::read().unwrap();
        assert!(!goals.is_empty());
        for goal in &goals {
            let part = crate::parts::Part::parse(&goal.part).unwrap();
            let metric = part.metrics().iter().find(|metric| metric.name == goal.metric);
            let metric = metric.unwrap_or_else(|| panic!("unknown metric: {goal:?}"));
            assert!(
                match metric.better {
                    Better::Lower => goal.limit >= goal.goal,
                    Better::Higher => goal.limit <= goal.goal,
                },
                "{goal:?}"
            );
        }
    }
}
