//! One JSON document for programs.

use serde_json::{Map, Value, json};
use tunnel_balancer_config::{ServerDiff, ServiceDiff, SettingChange};

use super::report::{Report, ServiceConsequences};
use crate::budget::Assumed;

pub(super) fn write(report: &Report) -> String {
    let document = json!({
        "different": !report.diff.is_empty(),
        "services": report.services().map(|(diff, then)| service(diff, then)).collect::<Value>(),
        "settings": settings(&report.diff.settings),
        "secrets": { "added": report.diff.secrets_added, "removed": report.diff.secrets_removed },
        "free_plan": free_plan(report),
    });
    format!("{document:#}\n")
}

fn service(diff: &ServiceDiff, consequences: &ServiceConsequences) -> Value {
    json!({
        "service": diff.service,
        "change": diff.change.as_str(),
        "settings": settings(&diff.settings),
        "servers": diff.servers.iter().map(server).collect::<Value>(),
        "order": diff.order.as_ref().map(|(old, new)| json!({ "old": old, "new": new })),
        "consequences": consequences.sentences,
        "subrequests_per_request": consequences.subrequests.map(|(old, new)| json!({ "old": old, "new": new })),
    })
}

fn server(diff: &ServerDiff) -> Value {
    json!({ "server": diff.server, "change": diff.change.as_str(), "settings": settings(&diff.settings) })
}

fn settings(changes: &[SettingChange]) -> Value {
    changes.iter().map(|change| json!({ "key": change.key, "old": change.old, "new": change.new })).collect()
}

/// Returns the usage before and after; `null` if the limits do not apply.
fn free_plan(report: &Report) -> Option<Value> {
    let Assumed { requests_per_day, isolates } = Assumed::DEFAULT;
    let figure = |usage: &super::report::Usage| (usage.key.to_owned(), json!({ "old": usage.old, "new": usage.new }));
    let assumed = json!({ "requests_per_day": requests_per_day, "isolates": isolates });
    let figures = [("assumed".to_owned(), assumed)].into_iter().chain(report.usage.iter().map(figure));
    (!report.usage.is_empty()).then(|| Value::Object(figures.collect::<Map<_, _>>()))
}
