//! Charts: one bar a subject with the range as a line, grouped by row.

use std::fmt::Write;

use crate::report::text::number;
use crate::sheet::Table;

const LABELS: f64 = 300.0;
const BARS: f64 = 520.0;
const VALUES: f64 = 90.0;
const BAR: f64 = 14.0;
const GAP: f64 = 10.0;

/// Returns the chart of a table as SVG. A bar has the class of its subject: `s0`, `s1`, ...
pub(crate) fn chart(table: &Table) -> String {
    let subjects = table.subjects();
    let largest = table.rows.iter().flat_map(|row| &row.cells).map(|cell| cell.summary.max).fold(0.0, f64::max);
    let scale = if largest > 0.0 { BARS / largest } else { 0.0 };
    let (mut body, mut y) = (String::new(), 0.0);
    for row in &table.rows {
        let middle = y + BAR * row.cells.len() as f64 / 2.0;
        let _ = writeln!(
            body,
            r#"<text class="row" x="{:.0}" y="{:.1}" text-anchor="end">{}</text>"#,
            LABELS - 8.0,
            middle + 4.0,
            escape(&row.name)
        );
        for cell in &row.cells {
            let class = subjects.iter().position(|subject| *subject == cell.subject).unwrap_or_default();
            let [median, min, max] =
                [cell.summary.median, cell.summary.min, cell.summary.max].map(|value| value * scale);
            let line = y + BAR / 2.0 - 0.5;
            let _ = writeln!(
                body,
                r#"<rect class="s{class}" x="{LABELS}" y="{y:.1}" width="{median:.1}" height="{:.1}">
<title>{}: {}</title></rect>
<path d="M{:.1} {line:.1}H{:.1}"/><text x="{:.1}" y="{:.1}">{}</text>"#,
                BAR - 2.0,
                escape(&cell.subject),
                number(cell.summary.median),
                LABELS + min,
                LABELS + max,
                LABELS + max + 6.0,
                y + BAR - 3.5,
                number(cell.summary.median),
            );
            y += BAR;
        }
        y += GAP;
    }
    let width = LABELS + BARS + VALUES;
    format!(
        "<svg viewBox=\"0 0 {width:.0} {y:.0}\" role=\"img\" aria-label=\"{}, {}\">\n{body}</svg>",
        escape(table.metric.name),
        table.metric.unit
    )
}

/// Returns text for HTML and SVG.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
