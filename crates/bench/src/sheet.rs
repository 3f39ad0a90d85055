//! The results of one part: values by metric, row and subject.

use serde::Serialize;

use crate::stats::Summary;

/// The column of the balancer.
pub(crate) const OURS: &str = "Tunnel Balancer";

/// A measured quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Metric {
    /// The name, which `goals.json` uses.
    pub(crate) name: &'static str,
    /// The unit.
    pub(crate) unit: &'static str,
    /// Which values are better.
    pub(crate) better: Better,
}

/// Which values of a metric are better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Better {
    /// Lower ones.
    Lower,
    /// Higher ones.
    Higher,
}

/// The results of one part.
#[derive(Debug, Serialize)]
pub(crate) struct Sheet {
    /// The name of the part.
    pub(crate) part: &'static str,
    /// What it measures.
    pub(crate) about: &'static str,
    /// Versions, conditions and skipped subjects.
    pub(crate) notes: Vec<String>,
    /// The tables, one a metric.
    pub(crate) tables: Vec<Table>,
}

/// All values of one metric.
#[derive(Debug, Serialize)]
pub(crate) struct Table {
    /// The metric.
    #[serde(flatten)]
    pub(crate) metric: Metric,
    /// The rows, in the order of their first value.
    pub(crate) rows: Vec<Row>,
}

/// One case with all subjects.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// The name of the case, which `goals.json` uses.
    pub(crate) name: String,
    /// The subjects, in the order of their first value.
    pub(crate) cells: Vec<Cell>,
}

/// The values of one subject, one a round.
#[derive(Debug, Serialize)]
pub(crate) struct Cell {
    /// The name of the subject.
    pub(crate) subject: String,
    /// One value a round.
    pub(crate) values: Vec<f64>,
    /// Their median and range.
    pub(crate) summary: Summary,
}

impl Metric {
    /// Creates a metric of which lower values are better.
    pub(crate) const fn lower(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::Lower }
    }

    /// Creates a metric of which higher values are better.
    pub(crate) const fn higher(name: &'static str, unit: &'static str) -> Self {
        Self { name, unit, better: Better::Higher }
    }
}

impl Sheet {
    /// Creates an empty sheet.
    pub(crate) fn new(part: &'static str, about: &'static str) -> Self {
        Self { part, about, notes: Vec::new(), tables: Vec::new() }
    }

    /// Adds a note, and prints it.
    pub(crate) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        eprintln!("  {note}");
        self.notes.push(note);
    }

    /// Adds the value of one round.
    pub(crate) fn record(&mut self, metric: Metric, row: &str, subject: &str, value: f64) {
        let table =
            find_or_add(&mut self.tables, |table| table.metric == metric, || Table { metric, rows: Vec::new() });
        let row =
            find_or_add(&mut table.rows, |known| known.name == row, || Row { name: row.to_owned(), cells: Vec::new() });
        let empty = || Cell { subject: subject.to_owned(), values: Vec::new(), summary: ZERO };
        let cell = find_or_add(&mut row.cells, |cell| cell.subject == subject, empty);
        cell.values.push(value);
        cell.summary = Summary::of(&cell.values).unwrap_or(ZERO);
    }
}

impl Table {
    /// Returns all subjects, in the order of their first value.
    pub(crate) fn subjects(&self) -> Vec<&str> {
        let mut subjects: Vec<&str> = Vec::new();
        for cell in self.rows.iter().flat_map(|row| &row.cells) {
            if !subjects.contains(&cell.subject.as_str()) {
                subjects.push(&cell.subject);
            }
        }
        subjects
    }
}

impl Row {
    /// Returns the values of a subject.
    pub(crate) fn cell(&self, subject: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.subject == subject)
    }
}

const ZERO: Summary = Summary { median: 0.0, min: 0.0, max: 0.0 };

fn find_or_add<T>(list: &mut Vec<T>, is: impl Fn(&T) -> bool, new: impl FnOnce() -> T) -> &mut T {
    let index = list.iter().position(is).unwrap_or_else(|| {
        list.push(new());
        list.len() - 1
    });
    &mut list[index]
}
