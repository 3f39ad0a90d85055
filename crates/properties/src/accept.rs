//! Local replies in the form that `Accept` requests.

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

/// Checks that every local reply has a known content type and states the error, for any `Accept`
/// header and any request id.
pub fn accept(text: &str) {
    let id = RequestId::parse(text).unwrap_or_else(|| RequestId::random(text.len() as u64));
    let replies = [
        LocalReply::UnknownHost,
        LocalReply::unavailable(Duration::from_millis(text.len() as u64)),
        LocalReply::Overloaded,
        LocalReply::no_writes(Duration::MAX),
        LocalReply::TimedOut,
        LocalReply::Loop,
        LocalReply::Incomplete,
        LocalReply::Misconfigured,
    ];
    for reply in replies {
        let response = ReplyContext::new(Some(text.to_owned()), id.clone()).respond(reply, None);
        assert_eq!(response.status, reply.status());
        assert!(response.headers.iter().all(|(_, value)| http::HeaderValue::from_str(value).is_ok()), "{response:?}");
        let content_type =
            response.headers.iter().find_map(|(name, value)| (*name == "content-type").then_some(value.as_str()));
        match content_type {
            Some("text/plain; charset=utf-8") => assert!(response.body.ends_with(&format!("{}\n", reply.message()))),
            Some("application/json") => {
                let json: Value =
                    serde_json::from_str(&response.body).unwrap_or_else(|error| panic!("{}: {error}", response.body));
                assert_eq!(json["status"], reply.status().as_u16());
                assert_eq!((&json["error"], &json["message"]), (&reply.code().into(), &reply.message().into()));
                assert_eq!(json["request_id"], id.to_string());
            }
            Some("text/html; charset=utf-8") => {
                assert!(response.body.contains(reply.message()) && !response.body.contains("{{"), "{}", response.body);
            }
            other => panic!("unexpected content type {other:?}"),
        }
    }
}
