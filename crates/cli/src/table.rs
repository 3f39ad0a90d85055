//! Tables on a terminal, and the values in JSON that they show.

use std::time::Duration;

use serde_json::Value;
use tunnel_balancer_config::format_duration;

/// Returns a duration in whole seconds, and in whole minutes from an hour on.
pub(crate) fn rounded(millis: u64) -> String {
    let seconds = millis.div_ceil(1_000);
    let seconds = if seconds >= 3_600 { seconds.div_ceil(60) * 60 } else { seconds };
    format_duration(Duration::from_secs(seconds))
}

/// Returns a list; an empty one if it is missing.
pub(crate) fn list<'a>(value: &'a Value, name: &str) -> &'a [Value] {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// Returns a string or a number; `-` if it is missing.
pub(crate) fn string(value: &Value, name: &str) -> String {
    match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => "-".to_owned(),
    }
}

/// Returns the state of a server of a service: `healthy, draining`.
pub(crate) fn server_state(service: &Value, server: &Value) -> String {
    let is_enabled = server["enabled"] == true;
    let state = if is_enabled { string(server, "state").replace('_', " ") } else { "disabled".to_owned() };
    let is_forced = service["forced"] == server["server"];
    let words = [(server["drain"] == true, "draining"), (server["backup"] == true, "backup"), (is_forced, "forced")];
    let words = words.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word.to_owned());
    std::iter::once(state).chain(words).collect::<Vec<_>>().join(", ")
}

/// Aligns columns, with two spaces before each line. Those of `numbers` are aligned to the right.
pub(crate) fn indented_table<const N: usize>(rows: &[[String; N]], numbers: &[usize]) -> String {
    table(rows, numbers).lines().map(|line| format!("  {line}\n")).collect()
}

/// Aligns columns. Those of `numbers` are aligned to the right.
pub(crate) fn table<const N: usize>(rows: &[[String; N]], numbers: &[usize]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if numbers.contains(&column) { format!("{cell:>width$}") } else { format!("{cell:width$}") }
        });
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
