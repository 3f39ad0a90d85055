//! `affinity`: whether clients stay with the server they got first.

use std::ops::RangeInclusive;
use std::time::Duration;

use tunnel_balancer_core::Affinity;

use crate::duration::duration;
use crate::node::Value;
use crate::reader::{Field, Setting};
use crate::secret::{REFERENCE, secret};
use crate::token::{TOKEN, token};
use crate::value_schema::ValueSchema;

const KEYS: &[Setting<Affinity>] = &[
    Setting::new(
        "cookie",
        "The cookie that remembers the server. Required, here or in `defaults`.",
        ValueSchema::String(TOKEN),
        |affinity, field| field.set(&mut affinity.cookie, |value| token(value, "a cookie").map(str::to_owned)),
    ),
    Setting::new("ttl", "How long it does.", ValueSchema::Duration(TTL), |affinity, field| {
        field.set(&mut affinity.ttl, |value| duration(value, TTL));
    }),
    Setting::new(
        "key",
        "The secret that signs the cookie, 16 bytes or more: `npx wrangler secret put AFFINITY_KEY`, or in the environment \
         of `tunnel-balancer serve`. Required, here or in `defaults`.",
        ValueSchema::String(REFERENCE),
        |affinity, field| {
            if let Some(key) = secret(field, "AFFINITY_KEY", SHORTEST_KEY) {
                affinity.key = key.into_bytes();
            }
        },
    ),
];

pub(crate) const SCHEMA: ValueSchema = ValueSchema::Shared(
    "affinity",
    &ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Map(|| Setting::docs(KEYS))]),
);

/// A cookie counts in whole seconds; after a week nobody remembers what a client was doing.
const TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);

/// As many bytes as the codes that it signs have.
const SHORTEST_KEY: usize = 16;

/// `false` turns it off; a map changes what it names, and must be complete where there is nothing
/// to change.
pub(crate) fn affinity(affinity: &mut Option<Affinity>, field: Field<'_>) {
    if let Value::Bool(false) = field.value() {
        *affinity = None;
        return;
    }
    let Some(map) = field.map("`false`, or a map such as `{ cookie: lb, key: \"${AFFINITY_KEY}\" }`") else { return };
    if affinity.is_none() {
        map.check_required("cookie", "name the cookie that remembers the server, as in `cookie: lb`");
        map.check_required("key", "it signs the cookie: write `key: \"${AFFINITY_KEY}\"`");
    }
    map.read_into(affinity.get_or_insert_with(|| Affinity::new("", "")), KEYS);
}
