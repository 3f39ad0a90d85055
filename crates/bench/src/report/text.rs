//! Tables for a terminal.

use std::fmt::Write;

use crate::sheet::{Sheet, Table};
use crate::stats::Summary;

/// Returns the tables of a sheet: medians, and below them the ranges.
pub(crate) fn text(sheet: &Sheet) -> String {
    sheet.tables.iter().map(table).collect::<Vec<_>>().join("\n")
}

/// Formats a value with three significant digits.
pub(crate) fn number(value: f64) -> String {
    let decimals = match value.abs() {
        value if value == 0.0 || value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        _ => 2,
    };
    let digits = format!("{value:.decimals$}");
    let (whole, fraction) = digits.split_once('.').map_or((digits.as_str(), ""), |(whole, rest)| (whole, rest));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 && whole.as_bytes()[index - 1] != b'-' {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if fraction.is_empty() { grouped } else { format!("{grouped}.{fraction}") }
}

/// Formats a median with its range.
pub(crate) fn summary(Summary { median, min, max }: Summary) -> String {
    if min == max { number(median) } else { format!("{} ({}–{})", number(median), number(min), number(max)) }
}

fn table(table: &Table) -> String {
    let subjects = table.subjects();
    let width = |name: &str| name.chars().count();
    let first = table.rows.iter().map(|row| width(&row.name)).max().unwrap_or_default();
    let mut text = format!("\n{}, {}: median (range)\n{:first$}", table.metric.name, table.metric.unit, "");
    let cells = |subject: &str| {
        let of =
            |row: &crate::sheet::Row| row.cell(subject).map_or_else(|| "–".to_owned(), |cell| summary(cell.summary));
        table.rows.iter().map(of).collect::<Vec<_>>()
    };
    let columns: Vec<Vec<String>> = subjects.iter().map(|subject| cells(subject)).collect();
    let widths: Vec<usize> = subjects
        .iter()
        .zip(&columns)
        .map(|(subject, cells)| {
            cells.iter().map(|cell| width(cell)).chain([width(subject)]).max().unwrap_or_default() + 2
        })
        .collect();
    for (subject, width) in subjects.iter().zip(&widths) {
        let _ = write!(text, "{subject:>width$}");
    }
    for (index, row) in table.rows.iter().enumerate() {
        let _ = write!(text, "\n{:first$}", row.name);
        for (column, width) in columns.iter().zip(&widths) {
            let _ = write!(text, "{:>width$}", column[index]);
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_and_separators() {
        for (value, expected) in [
            (0.0, "0"),
            (1.234, "1.23"),
            (12.34, "12.3"),
            (123.4, "123"),
            (1234.0, "1,234"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(number(value), expected);
        }
        assert_eq!(summary(Summary { median: 2.0, min: 1.0, max: 3.0 }), "2.00 (1.00–3.00)");
        assert_eq!(summary(Summary { median: 2.0, min: 2.0, max: 2.0 }), "2.00");
    }
}
