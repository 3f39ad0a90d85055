//! The results as tables and pictures.

use crate::case::{Case, Fault, Figures, Mode};
use crate::chart;

const TITLES: [(Fault, &str); 5] = [
    (Fault::TunnelDown, "The tunnel of the first server is down (530)"),
    (Fault::Hangs, "The first server hangs, and so do its probes"),
    (Fault::Gray, "The first server responds to a third of the requests with 502, and probes pass"),
    (Fault::Region, "A third of the data centers cannot reach the first server"),
    (Fault::MonitorOnly, "Only the place of the monitor cannot reach the first server"),
];

/// The first two lines of a table.
const HEADING: &str = "\
| requests/s | mode | lost | lost or over 1 s | attempts per request | agreement | avoiding, at most | probes/s |
|---|---|---|---|---|---|---|---|
";

/// Returns a table for each fault.
pub(crate) fn tables(figures: &[Figures]) -> String {
    let tables = TITLES.iter().map(|(fault, title)| {
        let rows = |rate: f64| -> String {
            let of_rate = figures.iter().filter(|figures| figures.case.fault == *fault && figures.case.rate == rate);
            of_rate.map(row).collect()
        };
        format!("### {title}\n\n{HEADING}{}{}", rows(Case::BUSY), rows(Case::QUIET))
    });
    tables.collect::<Vec<_>>().join("\n")
}

/// Returns the pictures with their file names.
pub(crate) fn pictures(figures: &[Figures]) -> Vec<(&'static str, String)> {
    let pictures = [
        (
            "scale-hang-busy.svg",
            Fault::Hangs,
            Case::BUSY,
            "The first server hangs: isolates that avoid it, 50,000 requests/s",
        ),
        (
            "scale-hang-quiet.svg",
            Fault::Hangs,
            Case::QUIET,
            "The first server hangs: isolates that avoid it, 600 requests/s",
        ),
        (
            "scale-region.svg",
            Fault::Region,
            Case::QUIET,
            "A region cannot reach it: isolates of the region that avoid it, 600 requests/s",
        ),
    ];
    let draw = |fault: Fault, rate: f64, title: &str| {
        let of_mode = |mode: Mode| {
            let wanted = Case { fault, mode, rate };
            figures.iter().find(|figures| figures.case == wanted).map(|figures| (mode.name(), &figures.avoiding[..]))
        };
        let lines: Vec<_> = Mode::ALL.into_iter().filter_map(of_mode).collect();
        chart::draw(title, &lines, Case { fault, mode: Mode::Isolate, rate }.fault())
    };
    pictures.into_iter().map(|(name, fault, rate, title)| (name, draw(fault, rate, title))).collect()
}

fn row(figures: &Figures) -> String {
    let share = |count: usize| format!("{} ({:.3} %)", grouped(count), 100.0 * count as f64 / figures.arrived as f64);
    format!(
        "| {} | `{}` | {} | {} | {:.3} | {} | {:.0} % | {:.1} |\n",
        grouped(figures.case.rate as usize),
        figures.case.mode.name(),
        share(figures.lost),
        share(figures.slow),
        figures.attempts,
        figures.agreement().map_or_else(|| "–".to_owned(), |seconds| format!("{seconds} s")),
        100.0 * figures.most_avoiding(),
        figures.probes,
    )
}

/// Returns a number with separators of thousands.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let (mut text, first) = (String::new(), digits.len() % 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && index % 3 == first % 3 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
