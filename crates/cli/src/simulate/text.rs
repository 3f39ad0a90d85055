//! The results for a terminal.

use super::Results;
use super::balancer::Balancer;
use super::format::{clock, count, duration, number, percent, took};
use super::report::{Quota, Report};
use super::timeline::Line;

/// All of it, with a line break at its end.
pub(super) fn write(results: &Results<'_>) -> String {
    let mut text = String::new();
    if !results.title.is_empty() {
        text += &format!("{}\n", results.title.replace(char::is_control, " "));
    }
    text += &format!("{}\n\nWhat happened\n", setting(results));
    text += &columns(&happened(results));
    text += "\nWhat came of it\n";
    text += &columns(&figures(results));
    text
}

/// What was simulated: `app.example.com for 5m: GET 9/s, POST 1/s; 10 isolates, seed 1`.
pub(super) fn setting(results: &Results<'_>) -> String {
    let streams = results.scenario.requests.iter().map(|stream| format!("{} {}/s", stream.info.method, stream.rate));
    let streams: Vec<String> = streams.collect();
    let (service, length) = (&results.service, duration(results.scenario.duration));
    let isolates = count(results.isolates, "isolate");
    format!("{service} for {length}: {}; {isolates}, seed {}", streams.join(", "), results.seed)
}

fn happened(results: &Results<'_>) -> Vec<Vec<String>> {
    let mut lines: Vec<(&Line, String)> = Vec::new();
    for run in &results.runs {
        // What the scenario says is the same for all.
        let own = run.timeline.iter().filter(|line| run.balancer == Balancer::Ours || !line.is_scripted);
        let by = if run.balancer == Balancer::Ours { String::new() } else { format!("{}: ", run.balancer.name()) };
        lines.extend(own.map(|line| (line, by.clone())));
    }
    lines.sort_by_key(|(line, _)| line.at);
    let row = |(line, by): (&Line, String)| {
        let until = if line.until > line.at { format!("- {}", clock(line.until)) } else { String::new() };
        let who = line.server.clone().unwrap_or_else(|| "clients".to_owned());
        let mark = if line.is_scripted { "! " } else { "  " };
        vec![clock(line.at), until, format!("{mark}{who}"), format!("{by}{}", line.what)]
    };
    lines.into_iter().map(row).collect()
}

fn figures(results: &Results<'_>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut row = |name: &str, figure: &dyn Fn(&Report) -> String| {
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
    for (place, fault) in faults.iter().enumerate() {
        row(&format!("{} at {}: {}", fault.server, duration(fault.at), fault.what), &|_| String::new());
        let of = |run: &Report, figure: &dyn Fn(&super::report::Fault) -> String| {
            run.faults.get(place).map(figure).unwrap_or_default()
        };
        row("  first request served after", &|run| {
            of(run, &|fault| fault.failover.map_or_else(|| "not while it lasted".to_owned(), took))
        });
        row("  requests lost that came or waited then", &|run| of(run, &|fault| number(fault.lost)));
        row("  the last of them came after", &|run| {
            of(run, &|fault| fault.last_lost.map_or_else(|| "-".to_owned(), took))
        });
    }
    row("wait of those served: half at most", &|run| took(run.waits.half));
    row("  99 % at most", &|run| took(run.waits.most));
    row("  longest", &|run| took(run.waits.longest));
    for (place, server) in results.scenario.service.servers().iter().enumerate() {
        let of = |run: &Report, figure: &dyn Fn(&super::report::Served) -> String| {
            run.servers.get(place).map(figure).unwrap_or_default()
        };
        row(&format!("served by {}", server.name), &|run| {
            of(run, &|served| format!("{} ({})", number(served.served), percent(served.served, run.requests)))
        });
        row("  attempts that failed", &|run| of(run, &|served| number(served.failed_attempts)));
        row("  probes", &|run| of(run, &|served| number(served.probes)));
    }
    row("probes", &|run| number(run.servers.iter().map(|served| served.probes).sum()));
    row("subrequests, probes included", &|run| number(run.quota.subrequests));
    row(&free_plan("  most for one request", Quota::SUBREQUESTS), &|run| run.quota.most_subrequests.to_string());
    row(&free_plan("  most open at a time for one", Quota::CONNECTIONS), &|run| run.quota.most_connections.to_string());
    row(&free_plan("requests in a day like this", Quota::REQUESTS_A_DAY), &|run| number(run.quota.requests_a_day));
    rows
}

fn free_plan(what: &str, limit: usize) -> String {
    format!("{what} (free plan: {})", number(limit))
}

/// Rows in columns as wide as what is in them.
fn columns(rows: &[Vec<String>]) -> String {
    let wide = |text: &String| text.chars().count();
    let most = rows.iter().map(Vec::len).max().unwrap_or(0);
    // A heading alone in its row does not widen its column.
    let own = |row: &&Vec<String>| row.iter().skip(1).any(|cell| !cell.is_empty());
    let width = |column| rows.iter().filter(own).filter_map(|row| row.get(column)).map(wide).max().unwrap_or(0);
    let widths: Vec<usize> = (0..most).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text += format!("  {}", cells.collect::<Vec<_>>().join("  ")).trim_end();
        text.push('\n');
    }
    text
}
