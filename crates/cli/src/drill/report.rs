//! The results of the drills of all services: a table, or JSON.

use serde_json::{Value, json};
use tunnel_balancer_core::DrillKind;

use crate::table::table;
use crate::trace::Traced;

/// The result of one drill.
pub(super) struct Row {
    pub(super) service: String,
    pub(super) server: String,
    pub(super) kind: DrillKind,
    pub(super) traced: Result<Traced, String>,
}

impl Row {
    /// Returns whether another server responded; with `force`, the server itself.
    pub(super) fn has_passed(&self) -> bool {
        self.served_by().is_some_and(|served_by| (served_by == self.server) == (self.kind == DrillKind::Force))
    }

    fn served_by(&self) -> Option<&str> {
        self.traced.as_ref().ok()?.trace["server"].as_str()
    }

    fn result(&self) -> String {
        match &self.traced {
            _ if self.has_passed() => "ok".to_owned(),
            Err(error) => {
                let first = error.lines().next().unwrap_or_default();
                format!("failed: {}", first.trim_start_matches("error: "))
            }
            Ok(traced) => match traced.trace["reply"].as_str() {
                Some(reply) => format!("failed: {reply}"),
                None => "failed: the wrong server responded".to_owned(),
            },
        }
    }

    fn json(&self) -> Value {
        let traced = self.traced.as_ref().ok();
        json!({
            "service": self.service,
            "server": self.server,
            "kind": self.kind.as_str(),
            "passed": self.has_passed(),
            "result": self.result(),
            "status": traced.map(|traced| traced.status),
            "served_by": self.served_by(),
            "attempts": traced.map(Traced::attempts),
            "total_ms": traced.map(|traced| traced.trace["total_ms"].clone()),
        })
    }

    /// Returns the cells of the table.
    fn cells(&self) -> [String; 7] {
        let cell = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
        let traced = self.traced.as_ref().ok();
        [
            self.service.clone(),
            format!("{} {}", self.server, self.kind.as_str()),
            cell(traced.map(|traced| traced.status.to_string())),
            cell(self.served_by().map(str::to_owned)),
            cell(traced.map(|traced| traced.attempts().to_string())),
            cell(traced.map(|traced| format!("{} ms", traced.trace["total_ms"]))),
            self.result(),
        ]
    }
}

/// Returns the report.
pub(super) fn report(rows: &[Row], is_json: bool) -> String {
    if is_json {
        return format!("{:#}\n", rows.iter().map(Row::json).collect::<Value>());
    }
    let header = ["SERVICE", "DRILL", "STATUS", "SERVED BY", "ATTEMPTS", "TIME", "RESULT"].map(str::to_owned);
    let mut lines = vec![header];
    let mut last = "";
    for row in rows {
        let mut cells = row.cells();
        if row.service == last {
            cells[0].clear();
        }
        last = &row.service;
        lines.push(cells);
    }
    let passed = rows.iter().filter(|row| row.has_passed()).count();
    let summary = format!("\n{passed} of {} passed\n", rows.len());
    table(&lines, &[2, 4, 5]) + &summary
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn row(service: &str, server: &str, kind: DrillKind, traced: Result<Value, &str>) -> Row {
        let traced = traced.map_err(str::to_owned);
        let traced = traced.map(|trace| Traced { status: if trace["server"].is_null() { 503 } else { 200 }, trace });
        Row { service: service.to_owned(), server: server.to_owned(), kind, traced }
    }

    #[test]
    fn a_drill_passes_if_the_right_server_responds() {
        let served = |server: &str| {
            let steps = json!([{ "step": "attempt" }, { "step": "attempt" }]);
            Ok(json!({ "result": "served", "server": server, "total_ms": 14, "steps": steps }))
        };
        let rows = [
            row("chat.example.com", "chat-a", DrillKind::Down, served("chat-b")),
            row("chat.example.com", "chat-b", DrillKind::Down, served("chat-b")),
            row("chat.example.com", "chat-b", DrillKind::Force, served("chat-b")),
            row("wiki.example.com", "wiki-a", DrillKind::Down, Ok(json!({ "reply": "unavailable", "total_ms": 3 }))),
            row("wiki.example.com", "wiki-b", DrillKind::Down, Err("error: no response\n  hint: none")),
        ];
        assert_eq!(rows.each_ref().map(Row::has_passed), [true, false, true, false, false]);
        expect![[r#"
            SERVICE           DRILL         STATUS  SERVED BY  ATTEMPTS   TIME  RESULT
            chat.example.com  chat-a down      200  chat-b            2  14 ms  ok
                              chat-b down      200  chat-b            2  14 ms  failed: the wrong server responded
                              chat-b force     200  chat-b            2  14 ms  ok
            wiki.example.com  wiki-a down      503  -                 0   3 ms  failed: unavailable
                              wiki-b down        -  -                 -      -  failed: no response

            2 of 5 passed
        "#]]
        .assert_eq(&report(&rows, false));
    }
}
