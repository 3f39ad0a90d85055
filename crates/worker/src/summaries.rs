//! The summaries of minutes and hours in the database of the monitor.

use serde_json::to_string;
use tunnel_balancer_state::Summary;
use tunnel_balancer_state::json::from_str;
use worker::js_sys::{Array, Reflect};
use worker::wasm_bindgen::JsValue;
use worker::web_sys;
use worker::worker_sys::SqlStorage;

use crate::error::Result;
use crate::query_of;
use crate::runtime::text_response;

/// The path of the control API with the summaries. Only the object has it.
pub(crate) const PATH: &str = "/__balancer/control/summaries";

const MINUTE: &str = "minute";
const HOUR: &str = "hour";

/// Creates the table, if there is none. Without a table of its own for the key, each entry is one
/// written row instead of two.
pub(crate) fn create_table(sql: &SqlStorage) -> Result<()> {
    let query = "CREATE TABLE IF NOT EXISTS summary \
                 (kind TEXT, start INTEGER, body TEXT NOT NULL, PRIMARY KEY (kind, start)) WITHOUT ROWID";
    sql.exec(query, Array::new())?;
    Ok(())
}

/// Stores the summary of a minute, and that of its hour so far. Deletes what is too old.
pub(crate) fn store(sql: &SqlStorage, minute: u64, summary: &Summary) -> Result<()> {
    // Numbers of JavaScript are exact up to 2^53.
    let number = |number: u64| number as f64;
    let insert = |kind: &str, start: u64, summary: &Summary| -> Result<()> {
        let row = Array::of3(&kind.into(), &number(start).into(), &to_string(summary)?.into());
        sql.exec("INSERT OR REPLACE INTO summary (kind, start, body) VALUES (?, ?, ?)", row)?;
        Ok(())
    };
    insert(MINUTE, minute, summary)?;
    // The hour is the sum of its minutes, so that a restart loses at most a minute of it.
    let hour = minute / Summary::HOUR_MS * Summary::HOUR_MS;
    let range = Array::of2(&MINUTE.into(), &number(hour).into());
    let minutes = sql.exec("SELECT body FROM summary WHERE kind = ? AND start >= ?", range)?.to_array();
    let mut sum = Summary::default();
    minutes.iter().filter_map(|row| from_str(&body_of(&row)?).ok()).for_each(|minute| sum.add(&minute));
    insert(HOUR, hour, &sum)?;
    for (kind, age) in [(MINUTE, Summary::MINUTES_MS), (HOUR, Summary::HOURS_MS)] {
        let end = Array::of2(&kind.into(), &number(minute.saturating_sub(age)).into());
        sql.exec("DELETE FROM summary WHERE kind = ? AND start < ?", end)?;
    }
    Ok(())
}

/// Returns the summaries of the last day, or with `kind=hour` of the last month, oldest first.
pub(crate) fn respond(sql: &SqlStorage, url: &str) -> Result<web_sys::Response> {
    let kind = if query_of(url) == "kind=hour" { HOUR } else { MINUTE };
    let query = "SELECT start, body FROM summary WHERE kind = ? ORDER BY start";
    let rows = sql.exec(query, Array::of1(&kind.into()))?.to_array();
    let row = |row: JsValue| {
        let start = Reflect::get(&row, &"start".into()).ok()?.as_f64()? as u64;
        Some(format!("{{\"start\":{start},\"probes\":{}}}", body_of(&row)?))
    };
    let rows: Vec<String> = rows.iter().filter_map(row).collect();
    let response = text_response(&format!("{{\"{kind}s\":[{}]}}\n", rows.join(",")), 200)?;
    response.headers().set("content-type", "application/json")?;
    Ok(response)
}

/// Returns the column `body` of a row.
pub(crate) fn body_of(row: &JsValue) -> Option<String> {
    Reflect::get(row, &"body".into()).ok()?.as_string()
}
