//! For programs: one JSON document with everything.

use serde_json::{Value, json};
use tunnel_balancer_config::{Diagnostic, MAX_SUBREQUESTS, Severity};

use super::budget::Budget;
use super::{Remark, Report};
use crate::cloudflared::Finding;

pub(super) fn write(report: &Report<'_>) -> String {
    let mut diagnostics: Vec<Value> = report.diagnostics().iter().map(diagnostic).collect();
    diagnostics.extend(report.remarks.iter().map(remark));
    let document = json!({
        "file": report.file,
        "errors": report.errors(),
        "warnings": report.warnings(),
        "diagnostics": diagnostics,
        "tunnels": report.tunnels.as_ref().map(|compared| compared.findings.iter().map(finding).collect::<Value>()),
        "summary": summary(report),
    });
    format!("{document:#}\n")
}

fn remark(remark: &Remark) -> Value {
    json!({ "severity": Severity::Warning.as_str(), "code": remark.code, "message": remark.message })
}

fn finding(finding: &Finding) -> Value {
    json!({
        "severity": if finding.is_error { "error" } else { "note" },
        "message": finding.message,
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
    })
}

/// What a file without mistakes holds and costs.
fn summary(report: &Report<'_>) -> Option<Value> {
    let (config, budget) = (report.checked.as_ref().ok()?, report.budget.as_ref()?);
    let servers: usize = config.services.iter().map(|service| service.servers().len()).sum();
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
    Some(json!({
        "services": config.services.len(),
        "servers": servers,
        "secrets": config.secrets,
        "free_plan": {
            "assumed": { "requests_per_day": budget.assumed.requests_per_day, "isolates": budget.assumed.isolates },
            "requests_a_day": { "total": budget.assumed.requests_per_day, "limit": Budget::REQUESTS_PER_DAY },
            "subrequests_a_request": worst,
            "probes_a_day": { "servers_well": budget.probes, "servers_down": budget.probes_unwell },
            "kv_writes_a_day": { "total": 0, "limit": Budget::KV_WRITES_PER_DAY },
            "durable_object_requests_a_day": { "total": 0 },
        },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_can_read_it() {
        let source = "services: { \"a.example.com\": { servers: b.example.com, lost\"x\": 1 } }";
        let checked = tunnel_balancer_config::parse(source);
        let report =
            Report { file: "a\"b.yaml", source, checked: &checked, budget: None, remarks: Vec::new(), tunnels: None };
        let document: Value = serde_json::from_str(&write(&report)).unwrap();
        assert_eq!(document["file"], "a\"b.yaml");
        assert_eq!(document["errors"], 1);
        assert_eq!(document["diagnostics"][0]["path"], "services.\"a.example.com\"");
        assert_eq!(document["summary"], Value::Null);
    }
}
