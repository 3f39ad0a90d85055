//! `policy`: which server is tried first. A word, or for `hash` a map that says what it goes by.

use tunnel_balancer_core::{HashOn, Policy};

use crate::diagnostic::Code;
use crate::node::Value;
use crate::problem::Problem;
use crate::reader::{Field, word};
use crate::shape::{About, Shape, words};
use crate::token::{TOKEN, token};

const POLICIES: &[(&str, Policy)] = &[
    ("failover", Policy::Failover),
    ("round_robin", Policy::RoundRobin),
    ("random", Policy::Random),
    ("least_requests", Policy::LeastRequests),
    ("latency", Policy::Latency),
    ("hash", Policy::Hash(HashOn::ClientIp)),
];

const EXPECTED: &str =
    "`failover`, `round_robin`, `random`, `least_requests`, `latency` or a map such as `{ hash: client_ip }`";

const HASH_ON: &[(&str, HashOn)] = &[("client_ip", HashOn::ClientIp), ("path", HashOn::Path)];

pub(crate) const SHAPE: Shape = Shape::Shared(
    "policy",
    &Shape::OneOf(&[Shape::Words(|| words(POLICIES)), Shape::Map(|| vec![About::required("hash", HASH_TEXT, HASH)])]),
);

const HASH_TEXT: &str = "What the same server is chosen by: the client's address, the path, a header or a cookie.";

const HASH: Shape = Shape::OneOf(&[
    Shape::Words(|| words(HASH_ON)),
    Shape::Map(|| {
        vec![About::required(
            "header",
            "The header that clients are told apart by; without `cookie` beside it.",
            Shape::Text(TOKEN),
        )]
    }),
    Shape::Map(|| {
        vec![About::required(
            "cookie",
            "The cookie that clients are told apart by; without `header` beside it.",
            Shape::Text(TOKEN),
        )]
    }),
]);

/// Reads a policy over the one that `defaults` gives.
pub(crate) fn policy(policy: &mut Policy, field: Field<'_>) {
    let Value::Map(_) = field.value() else {
        return field.set(policy, |value| word(value, "policy", EXPECTED, POLICIES));
    };
    let Some(mut map) = field.map(EXPECTED) else { return };
    let hash = map.require("hash", "write `{ hash: client_ip }`; the other policies are words, as in `policy: random`");
    map.finish();
    if let Some(on) = hash.and_then(hash_on) {
        *policy = Policy::Hash(on);
    }
}

fn hash_on(field: Field<'_>) -> Option<HashOn> {
    const HASH_EXPECTED: &str = "`client_ip`, `path`, `{ header: X-User }` or `{ cookie: session }`";
    let Value::Map(_) = field.value() else {
        return field.read(|value| word(value, "value", HASH_EXPECTED, HASH_ON));
    };
    let mut map = field.map(HASH_EXPECTED)?;
    let (header, cookie) = (map.take("header"), map.take("cookie"));
    map.finish();
    match (header, cookie) {
        (Some(header), None) => {
            header.read(|value| token(value, "a header")).map(|name| HashOn::Header(name.to_owned()))
        }
        (None, Some(cookie)) => {
            cookie.read(|value| token(value, "a cookie")).map(|name| HashOn::Cookie(name.to_owned()))
        }
        (Some(_), Some(_)) => {
            let problem = Problem::new(Code::Conflict, "`header` and `cookie` cannot both be hashed");
            field.report(problem.hint("keep one of the two"));
            None
        }
        (None, None) => {
            let problem = Problem::new(Code::MissingKey, "it is not said what is hashed");
            field.report(problem.hint(format!("write {HASH_EXPECTED}")));
            None
        }
    }
}

/// How a policy is written.
pub(crate) fn name(policy: &Policy) -> &'static str {
    let is_same = |other: &Policy| std::mem::discriminant(other) == std::mem::discriminant(policy);
    POLICIES.iter().find(|(_, other)| is_same(other)).map_or("?", |(name, _)| name)
}
