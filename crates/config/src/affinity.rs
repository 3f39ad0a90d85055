//! `affinity`: whether clients stay with the server of their first request.

use tunnel_balancer_core::{Affinity, limits};

use crate::duration::duration;
use crate::node::Value;
use crate::reader::{Field, Setting};
use crate::secret::{REFERENCE, secret};
use crate::token::{TOKEN, token};
use crate::value_schema::ValueSchema;

const KEYS: &[Setting<Affinity>] = &[
    Setting::new(
        "cookie",
        "",
        "The name of the cookie. Required, here or in `defaults`.",
        ValueSchema::String(TOKEN),
        |affinity, field| field.set(&mut affinity.cookie, |value| token(value, "a cookie").map(str::to_owned)),
    ),
    Setting::new(
        "ttl",
        "23h",
        "The lifetime of the cookie.",
        ValueSchema::Duration(limits::AFFINITY_TTL),
        |affinity, field| {
            field.set(&mut affinity.ttl, |value| duration(value, limits::AFFINITY_TTL));
        },
    ),
    Setting::new(
        "key",
        "",
        "The secret that signs the cookie, at least 16 bytes: set it with `npx wrangler secret put AFFINITY_KEY`, or \
         in the environment of `tunnel-balancer serve`. Required, here or in `defaults`.",
        ValueSchema::String(REFERENCE),
        |affinity, field| {
            if let Some(key) = secret(field, "AFFINITY_KEY", limits::MIN_AFFINITY_KEY) {
                affinity.key = key.into_bytes();
            }
        },
    ),
];

pub(crate) const SCHEMA: ValueSchema = ValueSchema::Shared(
    "affinity",
    &ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::Map(|| Setting::docs(KEYS))]),
);

/// Reads `false`, or a map that is merged over the value of `defaults`. Without one, cookie and key
/// are required.
pub(crate) fn affinity(affinity: &mut Option<Affinity>, field: Field<'_>) {
    if let Value::Bool(false) = field.value() {
        *affinity = None;
        return;
    }
    let Some(mut map) = field.map("`false`, or a map such as `{ cookie: lb, key: \"${AFFINITY_KEY}\" }`") else {
        return;
    };
    if affinity.is_none() {
        map.check_required("cookie", "write the name of the cookie: `cookie: lb`");
        map.check_required("key", "write the secret that signs the cookie: `key: \"${AFFINITY_KEY}\"`");
    }
    map.read_into(affinity.get_or_insert_with(|| Affinity::new("", "")), KEYS);
}
