//! The page: tables and charts, without scripts and without other files.

use std::fmt::Write;

use crate::goals::Outcome;
use crate::report::chart::{chart, escape};
use crate::report::text::summary;
use crate::report::{Judged, Report};
use crate::sheet::{Better, Table};

/// Returns the page.
pub(crate) fn page(report: &Report) -> String {
    let machine = &report.machine;
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Benchmarks of Tunnel Balancer</title>\n\
         <style>{STYLE}</style>\n<h1>Benchmarks of Tunnel Balancer</h1>\n<p>{} CPUs ({}), Linux {}. Each value is the \
         median of the rounds; the range is in parentheses, and a line in the charts.</p>\n",
        machine.cpus,
        escape(&machine.cpu),
        escape(&machine.kernel)
    );
    if report.is_smoke {
        html.push_str("<p><strong>A short run that checks the harness: its times mean nothing.</strong></p>\n");
    }
    for part in &report.parts {
        section(&mut html, part);
    }
    html
}

fn section(html: &mut String, Judged { sheet, verdicts }: &Judged) {
    let _ = writeln!(html, "<h2 id=\"{0}\">{0}</h2>\n<p>{1}</p>\n<ul>", sheet.part, escape(sheet.about));
    for note in &sheet.notes {
        let _ = writeln!(html, "<li>{}</li>", escape(note));
    }
    html.push_str("</ul>\n");
    for metric in &sheet.tables {
        table(html, metric);
    }
    if verdicts.is_empty() {
        return;
    }
    html.push_str("<h3>Goals</h3>\n<ul>\n");
    for verdict in verdicts {
        let class = if verdict.outcome == Outcome::Met { "met" } else { "missed" };
        let _ = writeln!(html, "<li class=\"{class}\">{}</li>", escape(&verdict.to_string()));
    }
    html.push_str("</ul>\n");
}

fn table(html: &mut String, table: &Table) {
    let better = match table.metric.better {
        Better::Lower => "lower",
        Better::Higher => "higher",
    };
    let (name, unit) = (escape(table.metric.name), table.metric.unit);
    let _ = writeln!(html, "<h3>{name}, {unit} ({better} is better)</h3>\n<table>\n<tr><th></th>");
    let subjects = table.subjects();
    for (index, subject) in subjects.iter().enumerate() {
        let _ = writeln!(html, "<th><i class=\"s{index}\"></i>{}</th>", escape(subject));
    }
    html.push_str("</tr>\n");
    for row in &table.rows {
        let _ = write!(html, "<tr><th>{}</th>", escape(&row.name));
        for subject in &subjects {
            let cell = row.cell(subject).map_or_else(|| "–".to_owned(), |cell| summary(cell.summary));
            let _ = write!(html, "<td>{cell}</td>");
        }
        html.push_str("</tr>\n");
    }
    let _ = writeln!(html, "</table>\n{}", chart(table));
}

const STYLE: &str = "
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .85em }
table { display: block; overflow: auto }
th, td { padding: .2rem .6rem; border-bottom: 1px solid #8885; text-align: right; white-space: nowrap }
th:first-child { text-align: left; font-weight: normal }
i { display: inline-block; width: .7em; height: .7em; margin-right: .4em; background: var(--c) }
svg { width: 100%; margin: .8rem 0; font-size: 11px } svg text { fill: currentColor } rect { fill: var(--c) }
path { stroke: currentColor; fill: none } .missed { color: light-dark(#a30, #f96) }
.s0 { --c: #2a6fdb } .s1 { --c: #d98a1f } .s2 { --c: #4b9a5f } .s3 { --c: #a05bb5 } .s4 { --c: #c44 }
.s5 { --c: #6b7a8f } .s6 { --c: #23a3a3 } .s7 { --c: #9b8b3c } .s8 { --c: #c46ba0 } .s9 { --c: #3d4a5c }
";
