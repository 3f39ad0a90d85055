//! One JSON document for programs.

use serde_json::{Value, json};
use tunnel_balancer_config::{Diagnostic, MAX_SUBREQUESTS, Related, Severity};

use super::report::{Comparison, MAX_VARIABLE, Report, Warning};
use crate::budget::Budget;
use crate::cloudflared::Finding;

/// Renders the reports of all files. Each is an entry of `files`, also if there is only one.
pub(super) fn write(reports: &[Report]) -> String {
    let document = json!({
        "errors": reports.iter().map(Report::errors).sum::<usize>(),
        "warnings": reports.iter().map(Report::warnings).sum::<usize>(),
        "files": reports.iter().map(file).collect::<Value>(),
    });
    format!("{document:#}\n")
}

fn file(report: &Report) -> Value {
    let mut diagnostics: Vec<Value> = report.diagnostics().iter().map(diagnostic).collect();
    diagnostics.extend(report.file_warnings.iter().map(warning));
    json!({
        "file": report.file,
        "errors": report.errors(),
        "warnings": report.warnings(),
        "diagnostics": diagnostics,
        "tunnels": report.tunnels.as_ref().map(findings),
        "routes": report.routes.as_ref().map(findings),
        "summary": summary(report),
    })
}

fn warning(warning: &Warning) -> Value {
    json!({ "severity": Severity::Warning.as_str(), "code": warning.code, "message": warning.message })
}

fn findings(comparison: &Comparison) -> Value {
    comparison.findings.iter().map(finding).collect()
}

fn finding(finding: &Finding) -> Value {
    json!({
        "severity": if finding.is_error { "error" } else { "note" },
        "message": finding.message,
        "hint": finding.hint,
        "file": finding.at.as_ref().map(|(file, _)| file),
        "line": finding.at.as_ref().map(|(_, line)| line),
    })
}

fn diagnostic(diagnostic: &Diagnostic) -> Value {
    json!({
        "severity": diagnostic.code.severity().as_str(),
        "code": diagnostic.code.as_str(),
        "message": diagnostic.message,
        "hint": diagnostic.hint,
        "path": diagnostic.path,
        "line": diagnostic.line,
        "column": diagnostic.column,
        "end_column": diagnostic.end_column,
        "related": diagnostic.related.iter().map(related).collect::<Value>(),
    })
}

fn related(related: &Related) -> Value {
    json!({
        "label": related.label,
        "line": related.line,
        "column": related.column,
        "end_column": related.end_column,
    })
}

/// Returns the contents and the estimated usage of a map without errors.
fn summary(report: &Report) -> Option<Value> {
    let config = report.checked.as_ref().ok()?;
    let servers: usize = config.services.iter().map(|service| service.servers().len()).sum();
    let on_worker = report.budget.as_ref();
    Some(json!({
        "services": config.services.len(),
        "servers": servers,
        "secrets": config.secrets,
        "variable": on_worker.map(|_| variable(report)),
        "free_plan": on_worker.map(free_plan),
    }))
}

fn variable(report: &Report) -> Value {
    json!({ "bytes": report.source.len(), "limit": MAX_VARIABLE, "fits": report.fits_variable() })
}

/// Returns the estimated usage of Cloudflare's free plan.
fn free_plan(budget: &Budget) -> Value {
    let worst = budget.worst.as_ref().map(|(service, work)| {
        json!({
            "service": service,
            "attempts": work.attempts,
            "hedges": work.hedges,
            "held": work.held,
            "probes": work.probes,
            "total": work.total(),
            "limit": MAX_SUBREQUESTS,
        })
    });
    let (alarms, reads) = budget.object_requests();
    json!({
        "assumed": { "requests_per_day": budget.assumed.requests_per_day, "isolates": budget.assumed.isolates },
        "requests_per_day": { "total": budget.assumed.requests_per_day, "limit": Budget::REQUESTS_PER_DAY },
        "subrequests_per_request": worst,
        "probes_per_day": { "servers_healthy": budget.probes, "servers_down": budget.probes_unhealthy },
        "kv_writes_per_day": { "total": budget.kv_writes(), "limit": Budget::KV_WRITES_PER_DAY },
        "durable_object_requests_per_day": {
            "alarms": alarms,
            "reads_per_data_center": reads,
            "total": alarms + reads,
            "limit": Budget::OBJECT_REQUESTS_PER_DAY,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_are_escaped() {
        let source = "services: { \"a.example.com\": { servers: b.example.com, lost\"x\": 1 } }".to_owned();
        let checked = tunnel_balancer_config::parse(&source);
        let file = "a\"b.yaml".to_owned();
        let file_warnings = Vec::new();
        let report = Report { file, source, checked, budget: None, file_warnings, tunnels: None, routes: None };
        let document: Value = serde_json::from_str(&write(&[report])).unwrap();
        assert_eq!(document["errors"], 1);
        let file = &document["files"][0];
        assert_eq!((&file["file"], &file["errors"]), (&json!("a\"b.yaml"), &json!(1)));
        assert_eq!(file["diagnostics"][0]["path"], "services.\"a.example.com\"");
        assert_eq!(file["summary"], Value::Null);
    }
}
