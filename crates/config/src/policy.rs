//! `policy`: how a server is selected. A word, or a map with the key of the policy `hash`.

use tunnel_balancer_core::{HashOn, Policy};

use crate::diagnostic::Code;
use crate::node::Value;
use crate::primitives::one_of;
use crate::reader::Field;
use crate::report::Report;
use crate::synonyms;
use crate::token::{TOKEN, token};
use crate::value_schema::{SettingDoc, ValueSchema, words};

const POLICIES: &[(&str, Policy)] = &[
    (Policy::Failover.as_str(), Policy::Failover),
    (Policy::RoundRobin.as_str(), Policy::RoundRobin),
    (Policy::Random.as_str(), Policy::Random),
    (Policy::LeastRequests.as_str(), Policy::LeastRequests),
    (Policy::Latency.as_str(), Policy::Latency),
    (Policy::Hash(HashOn::ClientIp).as_str(), Policy::Hash(HashOn::ClientIp)),
];

pub(crate) const HASH_ON: &[(&str, HashOn)] = &[("client_ip", HashOn::ClientIp), ("path", HashOn::Path)];

pub(crate) const SCHEMA: ValueSchema = ValueSchema::Shared(
    "policy",
    &ValueSchema::OneOf(&[
        ValueSchema::Enum(|| words(POLICIES)),
        ValueSchema::Map(|| vec![SettingDoc::required("hash", HASH_TEXT, HASH)]),
    ]),
);

const HASH_TEXT: &str = "The hash key: the client's IP address, the path, a header or a cookie.";

const HASH: ValueSchema = ValueSchema::OneOf(&[
    ValueSchema::Enum(|| words(HASH_ON)),
    ValueSchema::Map(|| {
        vec![SettingDoc::required(
            "header",
            "The header that is the hash key, instead of a cookie.",
            ValueSchema::String(TOKEN),
        )]
    }),
    ValueSchema::Map(|| {
        vec![SettingDoc::required(
            "cookie",
            "The cookie that is the hash key, instead of a header.",
            ValueSchema::String(TOKEN),
        )]
    }),
]);

/// Returns the names of all policies, as they are written in a file.
pub fn policy_names() -> Vec<&'static str> {
    words(POLICIES)
}

/// Returns the accepted values for an error.
fn expected() -> String {
    let without_map = POLICIES.iter().filter(|(_, policy)| !matches!(policy, Policy::Hash(_)));
    let names: Vec<String> = without_map.map(|(name, _)| format!("`{name}`")).collect();
    format!("{} or a map such as `{{ hash: client_ip }}`", names.join(", "))
}

/// Reads a policy over the value of `defaults`.
pub(crate) fn policy(policy: &mut Policy, field: Field<'_>) {
    let Value::Map(_) = field.value() else {
        return field.set(policy, |value| {
            one_of(value, "policy", &expected(), POLICIES).map_err(|report| match value {
                Value::String(word) => match synonyms::policy(word) {
                    Some(hint) => report.hint(hint),
                    None => report,
                },
                _ => report,
            })
        });
    };
    let Some(mut map) = field.map(&expected()) else { return };
    let hash = map.required("hash", "write `{ hash: client_ip }`, or a policy without a map: `policy: random`");
    map.deny_unknown();
    if let Some(on) = hash.and_then(hash_on) {
        *policy = Policy::Hash(on);
    }
}

fn hash_on(field: Field<'_>) -> Option<HashOn> {
    const HASH_EXPECTED: &str = "`client_ip`, `path`, `{ header: X-User }` or `{ cookie: session }`";
    let Value::Map(_) = field.value() else {
        return field.read(|value| one_of(value, "value", HASH_EXPECTED, HASH_ON));
    };
    let mut map = field.map(HASH_EXPECTED)?;
    let (header, cookie) = (map.optional("header"), map.optional("cookie"));
    map.deny_unknown();
    match (header, cookie) {
        (Some(header), None) => {
            header.read(|value| token(value, "a header")).map(|name| HashOn::Header(name.to_owned()))
        }
        (None, Some(cookie)) => {
            cookie.read(|value| token(value, "a cookie")).map(|name| HashOn::Cookie(name.to_owned()))
        }
        (Some(_), Some(_)) => {
            let report = Report::new(Code::Conflict, "`header` and `cookie` are both set");
            field.report(report.hint("remove one of them"));
            None
        }
        (None, None) => {
            let report = Report::new(Code::MissingKey, "missing key `header` or `cookie`");
            field.report(report.hint(format!("write {HASH_EXPECTED}")));
            None
        }
    }
}
