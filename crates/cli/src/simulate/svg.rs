//! The results as a standalone SVG file.
//!
//! Time goes from left to right. Each server has a lane with the results of its attempts, over
//! bands for its faults in the scenario. The last lane has the lost requests. All lanes of all runs
//! have the same scale, so that they can be compared.

use std::time::Duration;

use tunnel_balancer_core::ServerId;
use tunnel_balancer_sim::Record;

use super::Results;
use super::fault::Fault;
use super::format::{number, percent};
use super::outcome::{is_failed, is_served};
use super::report::RunReport;
use super::text::setting;

const WIDTH: f64 = 960.0;
const LEFT: f64 = 132.0;
const RIGHT: f64 = 52.0;
const PLOT: f64 = WIDTH - LEFT - RIGHT;
/// The height above the bars of a lane, for the labels of bands.
const STRIP: f64 = 17.0;
const BARS: f64 = 48.0;
const GAP: f64 = 10.0;
/// The largest average width of a letter, relative to the font size.
const LETTER: f64 = 0.58;

const STYLE: &str = "\
text{font:12px system-ui,-apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif;fill:#1f2328}\
.background{fill:#fff}.title{font-size:18px;font-weight:600}.run{font-size:15px;font-weight:600}\
.muted{fill:#59636e}.small,.band{font-size:11px}.band{fill:#6b4e00}\
.line{stroke:#d1d9e0;fill:none}.edge{stroke:#d9a400;fill:none}\
.served{fill:#2f77d0}.failed{fill:#e8590c}.lost{fill:#b0125b}.fault{fill:#ffe08a;fill-opacity:.55}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.background{fill:#0d1117}.muted{fill:#9aa4af}.band{fill:#f2cc60}\
.line{stroke:#3d444d}.edge{stroke:#9e6a03}.served{fill:#4c9aff}.failed{fill:#ff8a4c}.lost{fill:#ff5c9a}\
.fault{fill:#bb8009;fill-opacity:.28}}";

/// Returns the file.
pub(super) fn draw(results: &Results<'_>) -> String {
    let (scale, setting) = (Scale::new(results), setting(results));
    let title = if results.title.is_empty() { results.service.as_str() } else { results.title };
    let (mut body, mut y) = (String::new(), 34.0);
    body += &text(16.0, y, "title", &shortened(title, WIDTH - 32.0, 18.0));
    y += 22.0;
    body += &text(16.0, y, "muted", &shortened(&setting, WIDTH - 32.0, 12.0));
    y += 26.0;
    body += &legend(y);
    for run in &results.runs {
        y += 40.0;
        body += &text(16.0, y, "run", &format!("{}: {}", run.balancer.name(), lost(run)));
        y += 12.0;
        for (index, server) in run.servers.iter().enumerate() {
            let faults: Vec<&Fault> = run.faults.iter().filter(|fault| fault.server == server.name).collect();
            let figures = [server.served, server.failed_attempts].map(number);
            let figures = [format!("{} served", figures[0]), format!("{} failed", figures[1])];
            body += &bands(&faults, y, &scale);
            body += &lane(&server.name, &figures, &scale.attempts(&run.record, ServerId::new(index)), y, &scale);
            y += STRIP + BARS + GAP;
        }
        let lost = [percent(run.lost, run.requests), String::new()];
        body += &lane("requests lost", &lost, &[("lost", scale.losses(&run.record))], y, &scale);
        y += STRIP + BARS;
        body += &axis(y, &scale);
        y += 20.0;
    }
    let height = y + 16.0;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-labelledby=\"title description\">\n\
         <title id=\"title\">{}</title>\n<desc id=\"description\">{}</desc>\n\
         <style>{STYLE}</style>\n<rect class=\"background\" width=\"{WIDTH}\" height=\"{height}\"/>\n{body}</svg>\n",
        escaped(title),
        escaped(&description(results, &setting)),
    )
}

/// Returns the description for screen readers.
fn description(results: &Results<'_>, setting: &str) -> String {
    let runs = results.runs.iter().map(|run| format!("{}: {}.", run.balancer.name(), lost(run)));
    format!("{setting}. {}", runs.collect::<Vec<_>>().join(" "))
}

fn lost(run: &RunReport) -> String {
    format!("{} of {} requests lost", number(run.lost), number(run.requests))
}

/// Maps times and rates to coordinates.
struct Scale {
    /// The time on the axis.
    span: Duration,
    /// The time of one bar.
    bin: Duration,
    bins: usize,
    /// The rate at the full height of a lane.
    max_rate: f64,
}

/// A sum for each bar.
type Sums = Vec<usize>;

impl Scale {
    fn new(results: &Results<'_>) -> Self {
        let requests = results.runs.iter().flat_map(|run| &run.record.requests);
        let last = requests.filter_map(|request| request.end).map(|(at, _)| at).max().unwrap_or_default();
        let length = results.scenario.duration;
        // A few requests end just after the duration of the scenario.
        let span = if last > length + length / 50 { last } else { length };
        /// Narrower bars merge.
        const MIN_WIDTH: f64 = 5.0;
        let bin = step(span, (PLOT / MIN_WIDTH) as u32);
        let bins = usize::try_from(span.as_millis().div_ceil(bin.as_millis().max(1))).unwrap_or(1).max(1);
        let scale = Self { span, bin, bins, max_rate: 1.0 };
        let max = results.runs.iter().map(|run| scale.max_sum(run)).max().unwrap_or(0);
        Self { max_rate: rounded_up(max as f64 / bin.as_secs_f64()), ..scale }
    }

    /// Returns the largest sum in any lane of a run.
    fn max_sum(&self, run: &RunReport) -> usize {
        let servers = (0..run.servers.len()).map(|index| {
            let kinds = self.attempts(&run.record, ServerId::new(index));
            (0..self.bins).map(|bin| kinds.iter().map(|(_, sums)| sums[bin]).sum::<usize>()).max().unwrap_or(0)
        });
        servers.chain(self.losses(&run.record)).max().unwrap_or(0)
    }

    /// Returns the attempts of a server by result, at the time of the result.
    fn attempts(&self, record: &Record, server: Option<ServerId>) -> [(&'static str, Sums); 2] {
        let sent = || record.sent.iter().filter(|sent| !sent.is_probe && Some(sent.server) == server);
        let served = sent().filter(|sent| !is_failed(sent)).map(|sent| sent.until);
        let failed = sent().filter(|sent| is_failed(sent)).map(|sent| sent.until);
        [("served", self.sums(served)), ("failed", self.sums(failed))]
    }

    fn losses(&self, record: &Record) -> Sums {
        let lost = record.requests.iter().filter(|request| !is_served(request));
        self.sums(lost.map(|request| request.end.map_or(self.span, |(at, _)| at)))
    }

    fn sums(&self, times: impl Iterator<Item = Duration>) -> Sums {
        let mut sums = vec![0; self.bins];
        for at in times {
            let bin = usize::try_from(at.as_millis() / self.bin.as_millis().max(1)).unwrap_or(self.bins);
            sums[bin.min(self.bins - 1)] += 1;
        }
        sums
    }

    fn x(&self, at: Duration) -> f64 {
        LEFT + PLOT * (at.as_secs_f64() / self.span.as_secs_f64()).min(1.0)
    }

    fn height(&self, sum: usize) -> f64 {
        BARS * sum as f64 / self.bin.as_secs_f64() / self.max_rate
    }
}

/// Draws the faults of a server as bands, with labels that end before the next band.
fn bands(faults: &[&Fault], y: f64, scale: &Scale) -> String {
    let mut svg = String::new();
    for (index, fault) in faults.iter().enumerate() {
        let (from, to) = (scale.x(fault.at), fault.until.map_or(LEFT + PLOT, |until| scale.x(until)));
        let width = (to - from).max(1.5);
        let until = faults.get(index + 1).map_or(LEFT + PLOT, |next| scale.x(next.at));
        svg += &format!(
            "<rect class=\"fault\" x=\"{from:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{:.1}\">\
             <title>{}</title></rect>\n",
            STRIP + BARS,
            escaped(&fault.behavior)
        );
        svg += &format!("<path class=\"edge\" d=\"M{from:.1} {y:.1}v{:.1}\"/>\n", STRIP + BARS);
        svg += &text(from + 4.0, y + 12.5, "band", &shortened(&fault.behavior, until - from - 8.0, 11.0));
    }
    svg
}

/// Draws a lane: its name, figures, scale, and stacked bars.
fn lane(name: &str, figures: &[String; 2], kinds: &[(&str, Sums)], y: f64, scale: &Scale) -> String {
    let (base, end) = (y + STRIP + BARS, LEFT - 12.0);
    let mut svg = right_text(end, y + 28.0, "", &shortened(name, LEFT - 24.0, 12.0));
    for (row, figure) in figures.iter().enumerate() {
        svg += &right_text(end, y + 44.0 + 14.0 * row as f64, "muted small", figure);
    }
    svg += &format!("<path class=\"line\" d=\"M{LEFT} {:.1}h{PLOT}M{LEFT} {base:.1}h{PLOT}\"/>\n", y + STRIP);
    svg += &text(LEFT + PLOT + 6.0, y + STRIP + 4.0, "muted small", &rate(scale.max_rate));
    svg += &text(LEFT + PLOT + 6.0, base + 4.0, "muted small", "0");
    let slot = scale.x(scale.bin) - LEFT;
    let mut below = vec![0; scale.bins];
    for (class, sums) in kinds {
        let mut path = String::new();
        for (bin, (sum, below)) in sums.iter().zip(&mut below).enumerate().filter(|(_, (sum, _))| **sum > 0) {
            // Even one among thousands is visible.
            let (x, height) = (LEFT + slot * bin as f64, scale.height(*sum).max(1.0));
            let width = (slot - 1.0).min(LEFT + PLOT - x).max(0.5);
            let foot = base - scale.height(*below);
            path += &format!("M{x:.1} {foot:.1}v-{height:.1}h{width:.1}v{height:.1}z");
            *below += sum;
        }
        if !path.is_empty() {
            svg += &format!("<path class=\"{class}\" d=\"{path}\"/>\n");
        }
    }
    svg
}

/// Draws the times below the lanes of a run.
fn axis(y: f64, scale: &Scale) -> String {
    const MAX_LABELS: u32 = 10;
    let step = step(scale.span, MAX_LABELS);
    let (mut svg, mut at) = (String::new(), Duration::ZERO);
    while at <= scale.span {
        let (x, seconds) = (scale.x(at), at.as_secs());
        svg += &format!("<path class=\"line\" d=\"M{x:.1} {y:.1}v4\"/>");
        let label = format!("{}:{:02}", seconds / 60, seconds % 60);
        svg += &format!(
            "<text class=\"muted small\" x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{label}</text>\n",
            y + 16.0
        );
        at += step;
    }
    svg
}

fn legend(y: f64) -> String {
    let entries = [
        ("served", "attempt served"),
        ("failed", "attempt failed (error, connection lost, no response)"),
        ("lost", "request lost (error or client timeout)"),
        ("fault", "fault in the scenario"),
    ];
    let (mut svg, mut x) = (String::new(), 16.0);
    for (class, label) in entries {
        svg += &format!(
            "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{:.1}\" width=\"12\" height=\"12\" rx=\"2\"/>",
            y - 10.0
        );
        svg += &text(x + 18.0, y, "small", label);
        x += 18.0 + label.len() as f64 * 11.0 * 0.52 + 22.0;
    }
    svg
}

/// Returns the smallest round step that divides `span` into at most `times` parts.
fn step(span: Duration, times: u32) -> Duration {
    const MILLIS: [u64; 20] = [
        100, 200, 500, 1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 900_000,
        1_800_000, 3_600_000, 7_200_000, 10_800_000, 21_600_000, 43_200_000,
    ];
    let least = span / times.max(1);
    let steps = MILLIS.iter().copied().map(Duration::from_millis);
    steps.clone().find(|step| *step >= least).or_else(|| steps.max()).unwrap_or(least)
}

/// Returns the next number of one or two digits and zeros.
fn rounded_up(rate: f64) -> f64 {
    let power = 10_f64.powf(rate.max(0.1).log10().floor());
    let digits = [1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0];
    digits.into_iter().map(|digit| digit * power).find(|round| *round >= rate - 1e-9).unwrap_or(rate)
}

fn rate(rate: f64) -> String {
    // Removes rounding errors of powers of ten.
    format!("{}/s", (rate * 1000.0).round() / 1000.0)
}

fn text(x: f64, y: f64, class: &str, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>\n", escaped(text))
}

fn right_text(x: f64, y: f64, class: &str, text: &str) -> String {
    format!("<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>\n", escaped(text))
}

/// Returns the start of a string that fits into `room`.
fn shortened(text: &str, room: f64, size: f64) -> String {
    let most = (room / (size * LETTER)).max(0.0) as usize;
    match text.chars().count() {
        count if count <= most => text.to_owned(),
        _ if most < 3 => String::new(),
        _ => text.chars().take(most - 1).chain(['…']).collect(),
    }
}

/// Escapes a string for XML, which cannot contain control characters.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            '\'' => escaped += "&#39;",
            char if char.is_control() || matches!(char, '\u{fffe}' | '\u{ffff}') => escaped.push(' '),
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_names_is_escaped() {
        let title = "</title><script>alert('1')</script> & \"x\"\u{1b}\n";
        assert_eq!(
            escaped(title),
            "&lt;/title&gt;&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt; &amp; &quot;x&quot;  "
        );
    }

    #[test]
    fn scales_have_round_numbers() {
        let rates = [0.0, 0.3, 1.0, 1.2, 9.0, 30.1, 997.0].map(rounded_up).map(rate);
        assert_eq!(rates, ["0.1/s", "0.3/s", "1/s", "1.5/s", "10/s", "40/s", "1000/s"]);
        let s = Duration::from_secs;
        assert_eq!([60, 300, 3600, 86_400].map(|span| step(s(span), 10)), [s(10), s(30), s(600), s(10_800)]);
    }

    #[test]
    fn long_names_are_shortened() {
        assert_eq!(shortened("primary", 108.0, 12.0), "primary");
        assert_eq!(shortened("a-very-long-name-of-a-server", 108.0, 12.0), "a-very-long-na…");
        assert_eq!(shortened("530", 5.0, 11.0), "");
    }
}
