//! Answers of our own, in the form that was asked for.

use std::time::Duration;

use serde_json::Value;
use tunnel_balancer_core::{LocalReply, ReplyContext, RequestId};

pub(crate) const SEEDS: &[&str] = &[
    "",
    "*/*",
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8",
    "application/json",
    "application/json, text/plain, */*",
    "Application/JSON;charset=utf-8",
    "application/*",
    "text/*;q=0.5, application/json;q=0.6",
    "text/html;q=0, */*",
    "text/plain;q=0, */*",
    "*/*;q=junk",
    "text/html;q=-1, application/json;q=0.001",
    "\u{fc}/;=;q,,,/",
    "text/html;q=99999999999999999999.999",
];

/// Whatever `Accept` says, and whatever a request is called by others, the answer is of a known
/// type and says what happened.
pub fn accept(text: &str) {
    let id = RequestId::parse(text).unwrap_or_else(|| RequestId::random(text.len() as u64));
    let problems = [
        LocalReply::UnknownHost,
        LocalReply::unavailable(Duration::from_millis(text.len() as u64)),
        LocalReply::Overloaded,
        LocalReply::no_writes(Duration::MAX),
        LocalReply::TimedOut,
        LocalReply::Loop,
        LocalReply::Incomplete,
        LocalReply::Misconfigured,
    ];
    for problem in problems {
        let answer = ReplyContext::new(Some(text.to_owned()), id.clone()).respond(problem, None);
        assert_eq!(answer.status, problem.status());
        assert!(answer.headers.iter().all(|(_, value)| http::HeaderValue::from_str(value).is_ok()), "{answer:?}");
        let content_type =
            answer.headers.iter().find_map(|(name, value)| (*name == "content-type").then_some(value.as_str()));
        match content_type {
            Some("text/plain; charset=utf-8") => assert!(answer.body.ends_with(&format!("{}\n", problem.message()))),
            Some("application/json") => {
                let json: Value =
                    serde_json::from_str(&answer.body).unwrap_or_else(|error| panic!("{}: {error}", answer.body));
                assert_eq!(json["status"], problem.status().as_u16());
                assert_eq!((&json["error"], &json["message"]), (&problem.code().into(), &problem.message().into()));
                assert_eq!(json["request_id"], id.to_string());
            }
            Some("text/html; charset=utf-8") => {
                assert!(answer.body.contains(problem.message()) && !answer.body.contains("{{"), "{}", answer.body);
            }
            other => panic!("the type {other:?}"),
        }
    }
}
