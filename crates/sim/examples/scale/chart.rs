//! A chart of shares over time, as SVG.

use std::fmt::Write as _;

/// The size of the chart without its margins.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 48.0;
const TOP: f64 = 34.0;

/// Colors that differ for most kinds of color blindness (Okabe and Ito, 2008).
const COLORS: [&str; 5] = ["#000000", "#e69f00", "#56b4e9", "#009e73", "#cc79a7"];

/// Draws lines of shares, one value per second. `marked` is a period with a background.
pub(crate) fn draw(title: &str, lines: &[(&str, &[f64])], marked: std::ops::Range<usize>) -> String {
    let seconds = lines.iter().map(|(_, values)| values.len()).max().unwrap_or(1).max(2) - 1;
    let x = |second: usize| LEFT + WIDTH * second as f64 / seconds as f64;
    let y = |share: f64| TOP + HEIGHT * (1.0 - share);
    let (width, height) = (LEFT + WIDTH + 130.0, TOP + HEIGHT + 34.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"{width}\" height=\"{height}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{title}</text>\n\
         <rect x=\"{:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{HEIGHT}\" fill=\"#eeeeee\"/>\n",
        x(marked.start),
        x(marked.end) - x(marked.start),
    );
    // Writing to a string cannot fail.
    for percent in [0, 25, 50, 75, 100] {
        let at = y(f64::from(percent) / 100.0);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}h{WIDTH}\" stroke=\"#cccccc\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{percent} %</text>",
            LEFT - 6.0,
            at + 4.0
        );
    }
    for second in (0..=seconds).step_by(20) {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{second} s</text>",
            x(second),
            TOP + HEIGHT + 18.0
        );
    }
    for ((name, values), (color, row)) in lines.iter().zip(COLORS.iter().zip(0..)) {
        let points = values.iter().enumerate().map(|(second, share)| format!("{:.1},{:.1}", x(second), y(*share)));
        let label = TOP + 14.0 + 20.0 * f64::from(row);
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\
             <text x=\"{}\" y=\"{label}\" fill=\"{color}\">{name}</text>",
            points.collect::<Vec<_>>().join(" "),
            LEFT + WIDTH + 10.0
        );
    }
    svg + "</svg>\n"
}
