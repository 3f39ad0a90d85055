//! The results for a terminal.

use tunnel_balancer_config::format_duration;

use super::Results;
use super::balancer::Balancer;
use super::fault::Fault;
use super::format::{clock, count, number, percent, took};
use super::quota::Quota;
use super::report::{RunReport, ServerReport};
use super::timeline::TimelineEntry;

/// Returns all results, with a line break at the end.
pub(super) fn write(results: &Results<'_>) -> String {
    let mut text = String::new();
    if !results.title.is_empty() {
        text += &format!("{}\n", results.title.replace(char::is_control, " "));
    }
    text += &format!("{}\n\nTimeline\n", setting(results));
    text += &columns(&timeline_rows(results));
    text += "\nResults\n";
    text += &columns(&result_rows(results));
    text
}

/// Returns what is simulated: `app.example.com for 5m: GET 9/s, POST 1/s; 10 isolates, seed 1`.
pub(super) fn setting(results: &Results<'_>) -> String {
    let streams = results.scenario.requests.iter().map(|stream| format!("{} {}/s", stream.meta.method, stream.rate));
    let streams: Vec<String> = streams.collect();
    let (service, length) = (&results.service, format_duration(results.scenario.duration));
    let isolates = count(results.isolates, "isolate");
    format!("{service} for {length}: {}; {isolates}, seed {}", streams.join(", "), results.seed)
}

fn timeline_rows(results: &Results<'_>) -> Vec<Vec<String>> {
    let mut entries: Vec<(&TimelineEntry, String)> = Vec::new();
    for run in &results.runs {
        // Scripted entries are the same in all runs.
        let is_engine = run.balancer == Balancer::Engine;
        let own = run.timeline.iter().filter(|entry| is_engine || !entry.scripted);
        let by = if is_engine { String::new() } else { format!("{}: ", run.balancer.name()) };
        entries.extend(own.map(|entry| (entry, by.clone())));
    }
    entries.sort_by_key(|(entry, _)| entry.at);
    let row = |(entry, by): (&TimelineEntry, String)| {
        let until = if entry.until > entry.at { format!("- {}", clock(entry.until)) } else { String::new() };
        let subject = entry.server.clone().unwrap_or_else(|| "clients".to_owned());
        let mark = if entry.scripted { "! " } else { "  " };
        vec![clock(entry.at), until, format!("{mark}{subject}"), format!("{by}{}", entry.event)]
    };
    entries.into_iter().map(row).collect()
}

fn result_rows(results: &Results<'_>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, figure: &dyn Fn(&RunReport) -> String| {
        rows.push([name.to_owned()].into_iter().chain(results.runs.iter().map(figure)).collect::<Vec<_>>());
    };
    if results.runs.len() > 1 {
        row("", &|run| run.balancer.name().to_owned());
    }
    row("requests", &|run| number(run.requests));
    row("lost", &|run| match run.lost {
        0 => "0".to_owned(),
        lost => format!("{} ({})", number(lost), percent(lost, run.requests)),
    });
    let mut kinds: Vec<&String> = results.runs.iter().flat_map(|run| run.lost_by.keys()).collect();
    kinds.sort();
    kinds.dedup();
    for kind in kinds {
        row(&format!("  {kind}"), &|run| run.lost_by.get(kind).map_or_else(|| "0".to_owned(), |times| number(*times)));
    }
    let faults = results.runs.first().map_or(&[][..], |run| &run.faults);
    for (index, fault) in faults.iter().enumerate() {
        row(&format!("{} at {}: {}", fault.server, format_duration(fault.at), fault.behavior), &|_| String::new());
        let of =
            |run: &RunReport, figure: &dyn Fn(&Fault) -> String| run.faults.get(index).map(figure).unwrap_or_default();
        row("  first request served after", &|run| {
            of(run, &|fault| fault.failover.map_or_else(|| "none served".to_owned(), took))
        });
        row("  requests lost", &|run| of(run, &|fault| number(fault.lost)));
        row("  last loss after", &|run| of(run, &|fault| fault.last_loss.map_or_else(|| "-".to_owned(), took)));
    }
    row("latency p50", &|run| took(run.latency.p50));
    row("latency p99", &|run| took(run.latency.p99));
    row("latency max", &|run| took(run.latency.max));
    for (index, server) in results.scenario.service.servers().iter().enumerate() {
        let of = |run: &RunReport, figure: &dyn Fn(&ServerReport) -> String| {
            run.servers.get(index).map(figure).unwrap_or_default()
        };
        row(&format!("served by {}", server.name), &|run| {
            of(run, &|server| format!("{} ({})", number(server.served), percent(server.served, run.requests)))
        });
        row("  failed attempts", &|run| of(run, &|server| number(server.failed_attempts)));
        row("  probes", &|run| of(run, &|server| number(server.probes)));
    }
    row("probes", &|run| number(run.servers.iter().map(|server| server.probes).sum()));
    row("subrequests (attempts and probes)", &|run| number(run.quota.subrequests));
    row(&free_plan("  max per request", Quota::SUBREQUESTS), &|run| run.quota.max_subrequests.to_string());
    row(&free_plan("  max in flight per request", Quota::CONNECTIONS), &|run| run.quota.max_connections.to_string());
    row(&free_plan("requests per day", Quota::REQUESTS_PER_DAY), &|run| number(run.quota.requests_per_day));
    rows
}

fn free_plan(name: &str, limit: usize) -> String {
    format!("{name} (free plan: {})", number(limit))
}

/// Returns rows in columns that are as wide as their content.
fn columns(rows: &[Vec<String>]) -> String {
    let wide = |text: &String| text.chars().count();
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    // A heading alone in its row does not widen its column.
    let has_figures = |row: &&Vec<String>| row.iter().skip(1).any(|cell| !cell.is_empty());
    let width = |column| rows.iter().filter(has_figures).filter_map(|row| row.get(column)).map(wide).max().unwrap_or(0);
    let widths: Vec<usize> = (0..most).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text += format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end();
        text.push('\n');
    }
    text
}
