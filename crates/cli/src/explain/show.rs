//! An explanation as text and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::explanation::{Candidate, Explanation};
use crate::table::indented_table;

impl Explanation {
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.url);
        if let Some((name, reason)) = &self.service {
            let _ = writeln!(text, "  service {name}: {reason}\n");
        }
        if let Some(reply) = &self.local_reply {
            let _ = writeln!(text, "No server is tried. Local reply: {reply}");
        }
        if !self.servers.is_empty() {
            let _ = writeln!(text, "Servers, in the order of attempts ({}):", self.limits);
            let rows = self.servers.iter().enumerate();
            let row =
                |(i, it): (usize, &Candidate)| [format!("{}. {}", i + 1, it.name), it.state.clone(), it.reason.clone()];
            text += &indented_table(&rows.map(row).collect::<Vec<_>>(), &[]);
        }
        if !self.skipped.is_empty() {
            text.push_str("\nSkipped:\n");
            let rows = self.skipped.iter().map(|(name, reason)| [name.clone(), reason.clone()]);
            text += &indented_table(&rows.collect::<Vec<_>>(), &[]);
        }
        consequences(&mut text, "Outcomes", &self.outcomes);
        if let Some(url) = &self.fallback {
            let _ = writeln!(text, "  no server responds\n    the client is redirected to {url} (302)");
        }
        consequences(&mut text, "While waiting for a response", &self.waits);
        if let (Some((line, headers)), Some(first)) = (&self.request, self.servers.first()) {
            let _ = writeln!(text, "\nRequest to {}:\n  {line}", first.name);
            headers.iter().for_each(|header| text += &format!("  {header}\n"));
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let pairs = |pairs: &[(String, String)], first: &str, second: &str| -> Value {
            pairs.iter().map(|(a, b)| json!({ first: a, second: b })).collect()
        };
        let server = |it: &Candidate| json!({ "name": it.name, "state": it.state, "reason": it.reason });
        json!({
            "url": self.url,
            "service": self.service.as_ref().map(|(name, reason)| json!({ "name": name, "reason": reason })),
            "local_reply": self.local_reply,
            "servers": self.servers.iter().map(server).collect::<Value>(),
            "skipped": pairs(&self.skipped, "name", "reason"),
            "limits": self.limits,
            "fallback": self.fallback,
            "outcomes": pairs(&self.outcomes, "outcome", "consequence"),
            "waits": pairs(&self.waits, "wait", "consequence"),
            "request": self.request.as_ref().map(|(line, headers)| json!({ "line": line, "headers": headers })),
        })
    }
}

fn consequences(text: &mut String, heading: &str, rows: &[(String, String)]) {
    if rows.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{heading}:");
    for (condition, consequence) in rows {
        let _ = writeln!(text, "  {condition}\n    {consequence}");
    }
}
