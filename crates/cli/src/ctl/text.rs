//! The responses of the control API as tables.

use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use super::Filter;
use crate::table::{list, rounded, server_state, string, table};

/// Returns whether a status has a service.
pub(super) fn has_service(response: &Value, service: &str) -> bool {
    list(response, "services").iter().any(|it| it["service"] == service)
}

/// Prints services, servers and the changes in force.
pub(super) fn status(response: &Value, filter: &Filter) -> String {
    let is_selected = |it: &&Value| filter.service.as_ref().is_none_or(|service| it["service"] == **service);
    let overrides = list(response, "overrides");
    let header = ["SERVICE", "SERVER", "STATE", "WEIGHT", "REQUESTS", "CHANGE"];
    let mut rows = vec![header.map(str::to_owned)];
    for service in list(response, "services").iter().filter(is_selected) {
        let name = string(service, "service");
        let changes = |server: Option<&Value>| -> String {
            let is_here = |it: &&Value| it["service"] == service["service"] && it.get("server") == server;
            overrides.iter().filter(is_here).map(change).collect::<Vec<_>>().join("; ")
        };
        let of_service = changes(None);
        let mut first = name.clone();
        if service["maintenance"] == true || !of_service.is_empty() {
            let state = if service["maintenance"] == true { "maintenance" } else { "-" };
            rows.push([std::mem::take(&mut first), "-".into(), state.into(), "-".into(), "-".into(), of_service]);
        }
        for server in list(service, "servers") {
            rows.push([
                std::mem::take(&mut first),
                string(server, "server"),
                server_state(service, server),
                string(server, "weight"),
                string(server, "in_flight"),
                changes(Some(&server["server"])),
            ]);
        }
    }
    for gone in overrides.iter().filter(is_selected).filter(|it| it["has_effect"] == false) {
        let [service, server] = ["service", "server"].map(|name| string(gone, name));
        let note = format!("{}; no effect, not in the map", change(gone));
        rows.push([service, server, "-".into(), "-".into(), "-".into(), note]);
    }
    table(&rows, &[3, 4])
}

/// Prints what happened.
pub(super) fn history(response: &Value, _: &Filter) -> String {
    let entries = list(response, "history");
    if entries.is_empty() {
        return "nothing happened yet\n".to_owned();
    }
    let mut rows = vec![["TIME", "SERVICE", "SERVER", "EVENT", "DETAIL"].map(str::to_owned)];
    rows.extend(entries.iter().map(|it| {
        let mut detail = it["detail"].as_str().or_else(|| it["reason"].as_str()).unwrap_or_default().to_owned();
        if let (Some(until), Some(at)) = (it["until"].as_u64(), it["at"].as_u64()) {
            detail += &format!(" for {}", rounded(until.saturating_sub(at)));
        }
        detail += &made_by(it);
        [time(it), string(it, "service"), string(it, "server"), string(it, "event"), detail]
    }));
    table(&rows, &[])
}

/// Prints the changes that a command made.
pub(super) fn changed(response: &Value, _: &Filter) -> String {
    let changes = list(response, "changed");
    if changes.is_empty() {
        return "no change was in force\n".to_owned();
    }
    let line = |it: &Value| {
        let server = it["server"].as_str().map(|server| format!("{server} of ")).unwrap_or_default();
        let time = it["remaining_ms"].as_u64().map(|millis| format!(", for {}", rounded(millis)));
        let cleared = if it["cleared"] == true { "cleared: " } else { "" };
        format!("{cleared}{} {server}{}{}\n", action(it), string(it, "service"), time.unwrap_or_default())
    };
    changes.iter().map(line).collect()
}

/// Returns a change in force: what, for how long, where it was made, and why.
fn change(it: &Value) -> String {
    let rest = it["remaining_ms"].as_u64().map(|millis| format!(", {} left", rounded(millis)));
    format!("{}{}{}", action(it), rest.unwrap_or_default(), made_by(it))
}

fn made_by(it: &Value) -> String {
    match (it["origin"].as_str(), it["comment"].as_str()) {
        (Some(origin), Some(comment)) => format!(" ({origin}: {comment})"),
        (Some(origin), None) => format!(" ({origin})"),
        _ => String::new(),
    }
}

fn action(it: &Value) -> String {
    let name = string(it, "action");
    match (it["weight"].as_u64(), it["on"].as_bool()) {
        (Some(weight), _) => format!("{name} {weight}"),
        (_, Some(on)) => format!("{name} {}", if on { "on" } else { "off" }),
        _ => name,
    }
}

fn time(it: &Value) -> String {
    let at = UNIX_EPOCH + Duration::from_millis(it["at"].as_u64().unwrap_or_default());
    humantime::format_rfc3339_seconds(at).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: Filter = Filter { service: None };

    fn response() -> Value {
        json!({
            "now": 0,
            "services": [
                { "service": "chat.example.com", "maintenance": false, "forced": null, "servers": [
                    { "server": "chat-a", "enabled": true, "drain": true, "weight": 10, "state": "healthy",
                      "in_flight": 12 },
                    { "server": "chat-b", "enabled": true, "weight": 1, "backup": true, "in_flight": 0,
                      "state": "awaiting_failback" },
                ] },
                { "service": "wiki.example.com", "maintenance": true, "forced": "w", "servers": [
                    { "server": "w", "enabled": true, "weight": 1 },
                    { "server": "v", "enabled": false, "weight": 1, "state": "unknown", "in_flight": 0 },
                ] },
            ],
            "overrides": [
                { "action": "drain", "service": "chat.example.com", "server": "chat-a", "remaining_ms": 1_799_001,
                  "origin": "alice@laptop", "comment": "new disk" },
                { "action": "maintenance", "on": true, "service": "wiki.example.com", "origin": "api" },
                { "action": "force", "service": "wiki.example.com", "server": "w", "origin": "api",
                  "remaining_ms": 7_201_000 },
                { "action": "weight", "weight": 3, "service": "gone.example.com", "server": "x", "origin": "api",
                  "has_effect": false },
            ],
        })
    }

    #[test]
    fn a_status_is_a_table() {
        let expected = "\
SERVICE           SERVER  STATE                      WEIGHT  REQUESTS  CHANGE
chat.example.com  chat-a  healthy, draining              10        12  drain, 30m left (alice@laptop: new disk)
                  chat-b  awaiting failback, backup       1         0
wiki.example.com  -       maintenance                     -         -  maintenance on (api)
                  w       -, forced                       1         -  force, 2h1m left (api)
                  v       disabled                        1         0
gone.example.com  x       -                               -         -  weight 3 (api); no effect, not in the map
";
        assert_eq!(status(&response(), &ALL), expected);
        let one = Filter { service: Some("chat.example.com".to_owned()) };
        assert_eq!(status(&response(), &one).lines().count(), 3);
        assert!(has_service(&response(), "chat.example.com") && !has_service(&response(), "gone.example.com"));
    }

    #[test]
    fn the_history_is_a_table() {
        let entries = json!({ "history": [
            { "at": 1_790_000_000_000_u64, "event": "control_changed", "service": "chat.example.com",
              "server": "chat-a", "detail": "drain", "until": 1_790_001_800_000_u64,
              "origin": "alice@laptop", "comment": "new disk" },
            { "at": 1_789_999_999_999_u64, "event": "server_stalled", "service": "chat.example.com", "server": "chat-a",
              "reason": "unresponsive" },
        ] });
        let expected = "\
TIME                  SERVICE           SERVER  EVENT            DETAIL
2026-09-21T14:13:20Z  chat.example.com  chat-a  control_changed  drain for 30m (alice@laptop: new disk)
2026-09-21T14:13:19Z  chat.example.com  chat-a  server_stalled   unresponsive
";
        assert_eq!(history(&entries, &ALL), expected);
        assert_eq!(history(&json!({ "history": [] }), &ALL), "nothing happened yet\n");
    }

    #[test]
    fn changes_are_lines() {
        let response = json!({ "changed": [
            { "action": "drain", "service": "chat.example.com", "server": "chat-a", "remaining_ms": 1_800_000 },
            { "action": "maintenance", "on": false, "service": "chat.example.com" },
            { "action": "weight", "weight": 5, "service": "chat.example.com", "server": "chat-b", "cleared": true },
        ] });
        let expected = "\
drain chat-a of chat.example.com, for 30m
maintenance off chat.example.com
cleared: weight 5 chat-b of chat.example.com
";
        assert_eq!(changed(&response, &ALL), expected);
        assert_eq!(changed(&json!({ "changed": [] }), &ALL), "no change was in force\n");
    }
}
