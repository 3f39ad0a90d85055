//! `docs/troubleshooting.md` explains every reply that the balancer itself makes.

use std::time::Duration;

use tunnel_balancer_core::LocalReply;

use crate::sources::read;

#[test]
fn every_local_reply_is_explained() {
    let replies = [
        LocalReply::UnknownHost,
        LocalReply::unavailable(Duration::ZERO),
        LocalReply::Overloaded,
        LocalReply::no_writes(Duration::ZERO),
        LocalReply::maintenance(None),
        LocalReply::TimedOut,
        LocalReply::InvalidResponse,
        LocalReply::MethodNotAllowed,
        LocalReply::Loop,
        LocalReply::Incomplete,
        LocalReply::BadRequest,
        LocalReply::Misconfigured,
        LocalReply::MissingSecret,
    ];
    let source = read("crates/core/src/local_reply.rs");
    let variants = source.split("pub enum LocalReply {").nth(1).unwrap().split("\n}").next().unwrap();
    let is_variant =
        |line: &&str| line.starts_with("    ") && line.as_bytes().get(4).is_some_and(u8::is_ascii_uppercase);
    assert_eq!(variants.lines().filter(is_variant).count(), replies.len(), "a reply is missing in this test");

    let page = read("docs/troubleshooting.md");
    for reply in replies {
        let (status, code) = (reply.status().as_u16(), reply.code());
        let is_explained = match status {
            404 => page.contains(&format!("## {status}")) && page.contains(&format!("\"{code}\"")),
            503 => page.lines().any(|line| line.starts_with(&format!("| `{code}` |"))),
            _ => page.lines().any(|line| line.starts_with(&format!("| {status} `{code}` |"))),
        };
        assert!(is_explained, "docs/troubleshooting.md does not explain {status} `{code}`");
    }
}
