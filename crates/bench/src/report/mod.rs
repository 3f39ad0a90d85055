//! The reports of a run: text on stdout, `report.json` and `report.html`.

mod chart;
mod html;
mod text;

pub(crate) use text::text;

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::Result;
use crate::goals::Verdict;
use crate::machine::Machine;
use crate::parts::Part;
use crate::sheet::Sheet;

/// All results of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    machine: Machine,
    /// Whether the run only checked the harness, so that its times mean nothing.
    is_smoke: bool,
    parts: Vec<Judged>,
}

/// The results of a part beside their goals.
#[derive(Debug, Serialize)]
struct Judged {
    #[serde(flatten)]
    sheet: Sheet,
    verdicts: Vec<Verdict>,
}

impl Report {
    /// Creates an empty report.
    pub(crate) fn new(machine: Machine, is_smoke: bool) -> Self {
        Self { machine, is_smoke, parts: Vec::new() }
    }

    /// Adds the results of a part.
    pub(crate) fn add(&mut self, sheet: Sheet, verdicts: Vec<Verdict>) {
        self.parts.push(Judged { sheet, verdicts });
    }

    /// Returns all comparisons with goals.
    pub(crate) fn verdicts(&self) -> impl Iterator<Item = &Verdict> {
        self.parts.iter().flat_map(|part| &part.verdicts)
    }

    /// Writes `report.json` and `report.html` into a directory.
    pub(crate) fn write(&self, directory: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self).map_err(|error| error.to_string())?;
        let written = fs::create_dir_all(directory)
            .and_then(|()| fs::write(directory.join("report.json"), json))
            .and_then(|()| fs::write(directory.join("report.html"), html::page(self)));
        written.map_err(|error| format!("{}: {error}", directory.display()))
    }
}

/// Checks written reports: each part has rows, and each value is a number that can be drawn.
pub(crate) fn check(directory: &Path, parts: &[Part]) -> Result<()> {
    let read = |name: &str| {
        fs::read_to_string(directory.join(name)).map_err(|error| format!("{}/{name}: {error}", directory.display()))
    };
    let report: serde_json::Value = serde_json::from_str(&read("report.json")?).map_err(|error| error.to_string())?;
    let page = read("report.html")?;
    for (index, part) in parts.iter().enumerate() {
        let part_report = &report["parts"][index];
        let is_skipped = part_report["notes"].as_array().into_iter().flatten().any(is_skip);
        let tables = part_report["tables"].as_array().filter(|tables| is_skipped || !tables.is_empty());
        for table in tables.ok_or_else(|| format!("report.json: no table of `{}`", part.name()))? {
            let rows = table["rows"].as_array().filter(|rows| !rows.is_empty());
            for row in rows.ok_or_else(|| format!("report.json: no row of {}", table["name"]))? {
                for cell in row["cells"].as_array().into_iter().flatten() {
                    let is_number = |value: &serde_json::Value| value.as_f64().is_some_and(|value| value >= 0.0);
                    if !cell["values"].as_array().is_some_and(|values| values.iter().all(is_number)) {
                        return Err(format!("report.json: expected numbers of at least 0, found {cell}"));
                    }
                }
            }
        }
        if !page.contains(&format!("<h2 id=\"{}\">", part.name())) {
            return Err(format!("report.html: no heading of `{}`", part.name()));
        }
    }
    Ok(())
}

fn is_skip(note: &serde_json::Value) -> bool {
    note.as_str().is_some_and(|note| note.starts_with("skipped: "))
}
