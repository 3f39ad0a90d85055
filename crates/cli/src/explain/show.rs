//! An explanation as text and as JSON.

use std::fmt::Write;

use serde_json::{Value, json};

use super::explanation::Explanation;

impl Explanation {
    pub(super) fn text(&self) -> String {
        let mut text = format!("{}\n", self.url);
        if let Some((name, why)) = &self.service {
            let _ = writeln!(text, "  is for the service {name}: {why}\n");
        }
        if let Some(refusal) = &self.refusal {
            let _ = writeln!(text, "No server is asked. The answer is our own: {refusal}");
        }
        if !self.servers.is_empty() {
            let _ = writeln!(text, "Servers, in the order in which they are asked ({}):", self.limits);
            table(
                &mut text,
                self.servers.iter().enumerate().map(|(i, (name, why))| (format!("{}. {name}", i + 1), why)),
            );
        }
        if !self.left_out.is_empty() {
            text.push_str("\nNot asked:\n");
            table(&mut text, self.left_out.iter().map(|(name, why)| (name.clone(), why)));
        }
        if !self.outcomes.is_empty() {
            text.push_str("\nWhat comes of an attempt:\n");
            for (what, fate) in &self.outcomes {
                let _ = writeln!(text, "  {what}\n    {fate}");
            }
        }
        if !self.waits.is_empty() {
            text.push_str("\nWhile it waits:\n");
            for (what, fate) in &self.waits {
                let _ = writeln!(text, "  {what}\n    {fate}");
            }
        }
        if let Some((line, lines)) = &self.request {
            let _ = writeln!(text, "\nWhat {} gets:\n  {line}", self.servers.first().map_or("it", |(name, _)| name));
            for line in lines {
                let _ = writeln!(text, "  {line}");
            }
        }
        text
    }

    pub(super) fn json(&self) -> Value {
        let pairs = |pairs: &[(String, String)], first: &str, second: &str| -> Value {
            pairs.iter().map(|(a, b)| json!({ first: a, second: b })).collect()
        };
        json!({
            "url": self.url,
            "service": self.service.as_ref().map(|(name, why)| json!({ "name": name, "reason": why })),
            "answer": self.refusal,
            "servers": pairs(&self.servers, "name", "reason"),
            "not_asked": pairs(&self.left_out, "name", "reason"),
            "limits": self.limits,
            "outcomes": pairs(&self.outcomes, "outcome", "what_follows"),
            "waits": pairs(&self.waits, "wait", "what_follows"),
            "request": self.request.as_ref().map(|(line, headers)| json!({ "line": line, "headers": headers })),
        })
    }
}

fn table<'a>(text: &mut String, rows: impl Iterator<Item = (String, &'a String)>) {
    let rows: Vec<_> = rows.collect();
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, why) in rows {
        let _ = writeln!(text, "  {name:width$}  {why}");
    }
}
