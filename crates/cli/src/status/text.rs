//! The report as tables.

use serde_json::Value;

use crate::table::{list, rounded, server_state, string, table};

/// Prints a report, or its public form.
pub(super) fn report(report: &Value) -> String {
    if report["kind"] == "public" { public(report) } else { head(report) + "\n" + &full(report) }
}

/// Returns what the report covers.
fn head(report: &Value) -> String {
    let balancer = &report["balancer"];
    let started = balancer["started"].as_u64().map(|at| rounded(age(report, at)));
    let mut parts = vec![format!("{} {}", string(balancer, "host"), string(balancer, "version"))];
    parts.extend(started.map(|age| format!("started {age} ago")));
    parts.push(match report["counts_of"].as_str() {
        Some("isolate") => "counts of one isolate".to_owned(),
        _ => "counts since the start".to_owned(),
    });
    let sharing = &report["sharing"];
    if let Some(age) = sharing["age_ms"].as_u64() {
        parts.push(format!("shared by {}, {} old", string(sharing, "mode"), rounded(age)));
    }
    let mut text = parts.join(", ") + "\n";
    if let Some(error) = sharing["error"].as_str() {
        text += &format!("warning: what others know is missing: {error}\n");
    }
    if balancer["config_rejected"] == true {
        text += "warning: the newest configuration was rejected\n";
    }
    text
}

fn full(report: &Value) -> String {
    let header = ["SERVICE", "STATE", "FOR", "TRAFFIC", "REQUESTS", "FAILED", "P50", "P99", "DETAIL"];
    let mut rows = vec![header.map(str::to_owned)];
    for service in list(report, "services") {
        let requests = &service["requests"];
        let mut detail = vec![string(service, "serving_reason")];
        detail.extend(counted(requests, "retries", "retry").into_iter().chain(counted(requests, "hedges", "hedge")));
        rows.push([
            string(service, "service"),
            string(service, "state"),
            since(report, service),
            list(service, "serving").iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", "),
            string(requests, "total"),
            string(requests, "failed"),
            String::new(),
            String::new(),
            detail.join(", "),
        ]);
        rows.extend(list(service, "servers").iter().map(|it| server(report, service, it)));
    }
    let changes = list(report, "overrides").iter().map(|it| {
        let server = it["server"].as_str().map(|server| format!(" {server}")).unwrap_or_default();
        format!("{}{server} of {}", string(it, "action"), string(it, "service"))
    });
    let changes: Vec<String> = changes.collect();
    let changes = if changes.is_empty() { String::new() } else { format!("\nChanges: {}\n", changes.join("; ")) };
    table(&rows, &[4, 5, 6, 7]) + &changes
}

fn server(report: &Value, service: &Value, server: &Value) -> [String; 9] {
    let traffic = match server["skipped"].as_str() {
        Some(reason) => format!("no: {}", reason.replace('_', " ")),
        None => "yes".to_owned(),
    };
    let latency = |name: &str| server["latency_ms"][name].as_u64().map(|millis| format!("{millis} ms"));
    [
        format!("  {}", string(server, "server")),
        server_state(service, server),
        since(report, server),
        traffic,
        string(server, "attempts"),
        string(server, "failed_attempts"),
        latency("p50").unwrap_or_default(),
        latency("p99").unwrap_or_default(),
        server["detail"].as_str().or_else(|| server["reason"].as_str()).unwrap_or_default().to_owned(),
    ]
}

fn public(report: &Value) -> String {
    let mut rows = vec![["SERVICE", "STATE", "FOR"].map(str::to_owned)];
    let services = list(report, "services").iter();
    rows.extend(services.map(|it| [string(it, "title"), string(it, "state"), since(report, it)]));
    table(&rows, &[]) + "\nNames and states only: servers and traffic need a token\n"
}

fn counted(counts: &Value, name: &str, one: &str) -> Option<String> {
    let count = counts[name].as_u64().filter(|count| *count > 0)?;
    Some(format!("{count} {}", if count == 1 { one } else { name }))
}

/// Returns how long a state has lasted.
fn since(report: &Value, of: &Value) -> String {
    of["since"].as_u64().map(|at| rounded(age(report, at))).unwrap_or_default()
}

fn age(report: &Value, at: u64) -> u64 {
    report["now"].as_u64().unwrap_or_default().saturating_sub(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_is_a_table() {
        let now = 1_790_000_000_000_u64;
        let json = json!({
            "version": 1, "kind": "full", "now": now, "counts_of": "process", "control": true,
            "balancer": { "host": "serve", "version": "0.1.0", "started": now - 7_200_000, "config_rejected": true },
            "sharing": { "mode": "monitor", "age_ms": 3_000, "error": "no response" },
            "services": [{
                "service": "app.test", "state": "degraded", "since": now - 240_000, "forced": null,
                "serving": ["b"], "serving_reason": "the first",
                "requests": { "total": 10, "failed": 1, "retries": 1, "hedges": 2 },
                "servers": [
                    { "server": "a", "state": "unhealthy", "since": now - 240_000, "detail": "connection refused",
                      "skipped": "unhealthy", "enabled": true, "attempts": 5, "failed_attempts": 3 },
                    { "server": "b", "state": "awaiting_failback", "enabled": true, "backup": true,
                      "attempts": 7, "failed_attempts": 0, "latency_ms": { "p50": 12, "p99": 80 } },
                ],
            }],
            "overrides": [{ "action": "drain", "service": "app.test", "server": "a" }],
        });
        let expected = "\
serve 0.1.0, started 2h ago, counts since the start, shared by monitor, 3s old
warning: what others know is missing: no response
warning: the newest configuration was rejected

SERVICE   STATE                      FOR  TRAFFIC        REQUESTS  FAILED    P50    P99  DETAIL
app.test  degraded                   4m   b                    10       1                the first, 1 retry, 2 hedges
  a       unhealthy                  4m   no: unhealthy         5       3                connection refused
  b       awaiting failback, backup       yes                   7       0  12 ms  80 ms

Changes: drain a of app.test
";
        assert_eq!(report(&json), expected);
    }

    #[test]
    fn the_public_form_has_titles() {
        let services = json!([{ "title": "Chat", "state": "up" }, { "title": "Wiki", "state": "down", "since": 0 }]);
        let json = json!({ "kind": "public", "now": 61_000, "services": services });
        let expected = "\
SERVICE  STATE  FOR
Chat     up
Wiki     down   1m1s

Names and states only: servers and traffic need a token
";
        assert_eq!(report(&json), expected);
    }
}
