//! The text formats of Prometheus: its own, and OpenMetrics.

use std::fmt::Write as _;
use std::time::Duration;

/// Metrics under construction, family by family.
pub(crate) struct Exposition {
    text: String,
    /// Whether the format is OpenMetrics.
    open: bool,
    /// The name of the current family, without the suffixes of its samples.
    family: String,
}

/// The kinds of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
    /// A gauge of 1 whose labels are the information.
    Info,
}

impl Exposition {
    /// The prefix of all names.
    const PREFIX: &'static str = "tunnel_balancer_";

    pub(crate) const fn new(open: bool) -> Self {
        Self { text: String::new(), open, family: String::new() }
    }

    pub(crate) const fn content_type(&self) -> &'static str {
        if self.open {
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        } else {
            "text/plain; version=0.0.4; charset=utf-8"
        }
    }

    /// Begins a family. `name` is without prefix and without the suffixes of samples.
    pub(crate) fn family(&mut self, name: &str, kind: Kind, help: &str) {
        self.family = [Self::PREFIX, name].concat();
        // In the older format, a family is named as its samples.
        let (suffix, word) = match kind {
            Kind::Counter if !self.open => ("_total", "counter"),
            Kind::Info if !self.open => ("_info", "gauge"),
            Kind::Counter => ("", "counter"),
            Kind::Info => ("", "info"),
            Kind::Gauge => ("", "gauge"),
            Kind::Histogram => ("", "histogram"),
        };
        let name = [&self.family, suffix].concat();
        // Writing to a string does not fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {word}");
        if self.open && name.ends_with("_seconds") {
            let _ = writeln!(self.text, "# UNIT {name} seconds");
        }
    }

    /// Adds a sample of the family.
    pub(crate) fn number(&mut self, suffix: &str, labels: &[(&str, &str)], value: u64) {
        self.name(suffix, labels);
        let _ = writeln!(self.text, " {value}");
    }

    /// Adds a sample in seconds.
    pub(crate) fn seconds(&mut self, suffix: &str, labels: &[(&str, &str)], value: Duration) {
        self.name(suffix, labels);
        let _ = writeln!(self.text, " {}.{:03}", value.as_secs(), value.subsec_millis());
    }

    /// Returns the text.
    pub(crate) fn finish(mut self) -> String {
        if self.open {
            self.text.push_str("# EOF\n");
        }
        self.text
    }

    fn name(&mut self, suffix: &str, labels: &[(&str, &str)]) {
        self.text.push_str(&self.family);
        self.text.push_str(suffix);
        for (index, (name, value)) in labels.iter().enumerate() {
            self.text.push(if index == 0 { '{' } else { ',' });
            self.text.push_str(name);
            self.text.push_str("=\"");
            escape(&mut self.text, value);
            self.text.push('"');
        }
        self.text.push_str(if labels.is_empty() { "" } else { "}" });
    }
}

fn escape(text: &mut String, value: &str) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            c => text.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(open: bool) -> String {
        let mut text = Exposition::new(open);
        text.family("requests", Kind::Counter, "Requests.");
        text.number("_total", &[("service", "a\"\\\n"), ("x", "")], 7);
        text.family("age_seconds", Kind::Gauge, "The age.");
        text.seconds("", &[], Duration::from_millis(1_050));
        text.family("build", Kind::Info, "The program.");
        text.number("_info", &[], 1);
        text.finish()
    }

    #[test]
    fn both_formats_are_written() {
        let prometheus = r#"# HELP tunnel_balancer_requests_total Requests.
# TYPE tunnel_balancer_requests_total counter
tunnel_balancer_requests_total{service="a\"\\\n",x=""} 7
# HELP tunnel_balancer_age_seconds The age.
# TYPE tunnel_balancer_age_seconds gauge
tunnel_balancer_age_seconds 1.050
# HELP tunnel_balancer_build_info The program.
# TYPE tunnel_balancer_build_info gauge
tunnel_balancer_build_info 1
"#;
        assert_eq!(example(false), prometheus);
        let open = r#"# HELP tunnel_balancer_requests Requests.
# TYPE tunnel_balancer_requests counter
tunnel_balancer_requests_total{service="a\"\\\n",x=""} 7
# HELP tunnel_balancer_age_seconds The age.
# TYPE tunnel_balancer_age_seconds gauge
# UNIT tunnel_balancer_age_seconds seconds
tunnel_balancer_age_seconds 1.050
# HELP tunnel_balancer_build The program.
# TYPE tunnel_balancer_build info
tunnel_balancer_build_info 1
# EOF
"#;
        assert_eq!(example(true), open);
    }
}
