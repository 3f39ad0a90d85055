//! Workflow commands of GitHub Actions, which become annotations in pull requests.

use tunnel_balancer_config::Severity;

use super::report::Report;

pub(super) fn write(report: &Report) -> String {
    let mut text = String::new();
    let file = property(&report.file);
    for diagnostic in report.diagnostics() {
        let path = if diagnostic.path.is_empty() { String::new() } else { format!(" at {}", diagnostic.path) };
        let hint = hint(diagnostic.hint.as_ref());
        let notes = diagnostic
            .related
            .iter()
            .map(|other| format!("\nnote: {} at {}:{}:{}", other.label, report.file, other.line, other.column));
        let message = data(&format!("{}{path}{}{hint}", diagnostic.message, notes.collect::<String>()));
        let (severity, code) = (diagnostic.code.severity(), diagnostic.code);
        // `endColumn` is inclusive.
        let (line, column, end) = (diagnostic.line, diagnostic.column, diagnostic.end_column - 1);
        text += &format!("::{severity} file={file},line={line},col={column},endColumn={end},title={code}::{message}\n");
    }
    if report.more() > 0 {
        text += &format!("::{} file={file},title=more::and {} more\n", Severity::Error, report.more());
    }
    for warning in &report.file_warnings {
        text += &format!("::{} file={file},title={}::{}\n", Severity::Warning, warning.code, data(&warning.message));
    }
    let tunnels =
        report.tunnels.iter().flat_map(|comparison| &comparison.findings).map(|finding| ("cloudflared", finding));
    let routes = report.routes.iter().flat_map(|comparison| &comparison.findings).map(|finding| ("wrangler", finding));
    for (title, finding) in tunnels.chain(routes) {
        let severity = if finding.is_error { "error" } else { "notice" };
        let at = finding
            .at
            .as_ref()
            .map_or_else(String::new, |(file, line)| format!("file={},line={line},", property(file)));
        let hint = hint(finding.hint.as_ref());
        text += &format!("::{severity} {at}title={title}::{}\n", data(&format!("{}{hint}", finding.message)));
    }
    text
}

fn hint(hint: Option<&String>) -> String {
    hint.map_or_else(String::new, |hint| format!("\nhint: {hint}"))
}

fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delimiters_are_escaped() {
        assert_eq!(data("20%\nof a::b, c"), "20%25%0Aof a::b, c");
        assert_eq!(property("a,b:c%\r.yaml"), "a%2Cb%3Ac%25%0D.yaml");
    }
}
