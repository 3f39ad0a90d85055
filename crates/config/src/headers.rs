//! `headers`: headers that are added to requests and probes, such as a service token for Access.

use std::collections::BTreeMap;

use tunnel_balancer_core::{ServerHeader, headers};

use crate::diagnostic::Code;
use crate::node::{Value, backticked};
use crate::reader::Field;
use crate::report::Report;
use crate::secret::header_value;
use crate::token::{TOKEN, token};
use crate::value_schema::{StringSchema, ValueSchema};

pub(crate) const SCHEMA: ValueSchema = ValueSchema::MapOf {
    keys: TOKEN,
    values: &ValueSchema::String(StringSchema { what: "a string", pattern: "^[ -~]+$", longest: None }),
    may_be_empty: true,
};

/// Reads a map of headers. `host` is the setting that sets `Host`, if there is one.
pub(crate) fn server_headers(target: &mut Vec<ServerHeader>, field: Field<'_>, host: Option<&str>) {
    let expected = "a map such as `{ CF-Access-Client-Id: \"${ACCESS_ID}\" }`";
    let Some(map) = field.map_by(expected, |key| token(key, "a header")) else { return };
    let mut first = BTreeMap::new();
    for entry in map.into_entries() {
        let name = entry.key.read(|_| name(entry.name, host));
        let value = header_value(entry.value);
        if is_sensitive_name(entry.name)
            && let Value::String(text) = entry.value.value()
            && !text.contains("${")
        {
            entry.value.report(inline_secret(entry.name));
        }
        let (Some(name), Some(value)) = (name, value) else { continue };
        if let Some(other) = first.insert(name.clone(), entry.key.node().id) {
            let report = Report::new(Code::DuplicateKey, format!("duplicate header {}", backticked(&name)));
            entry.key.report(
                report
                    .related(other, "first defined here")
                    .hint("remove one of them: names of headers are case-insensitive"),
            );
            continue;
        }
        target.push(ServerHeader::new(name, value));
    }
}

fn inline_secret(name: &str) -> Report {
    let secret = name.to_ascii_uppercase().replace(|c: char| !c.is_ascii_alphanumeric(), "_");
    let report =
        Report::new(Code::InlineSecretHeader, format!("the header {} has a secret in plain text", backticked(name)));
    report.hint(format!("write `\"${{{secret}}}\"` and set it with `npx wrangler secret put {secret}`"))
}

/// Returns whether the value of a header or key with this name is usually a secret.
pub(crate) fn is_sensitive_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let last = name.rsplit(['-', '_']).next().unwrap_or_default();
    // `author` is not a secret.
    let is_auth = |rest: &str| !rest.starts_with("or") || rest.starts_with("oriz");
    name.split("auth").skip(1).any(is_auth)
        || name.starts_with("cf-access-client-")
        || matches!(last, "secret" | "token" | "key" | "apikey" | "pass" | "password" | "cookie")
}

fn name(name: &str, host: Option<&str>) -> Result<String, Report> {
    let name = name.to_ascii_lowercase();
    if headers::is_reserved(&name) {
        let report = Report::new(Code::InvalidValue, format!("the header {} cannot be set here", backticked(&name)));
        return Err(match host.filter(|_| name == "host") {
            Some(setting) => report.hint(format!("set {setting} instead")),
            None => report.hint("remove it: the balancer sets this header itself"),
        });
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sensitive_names_are_recognized() {
        let secret =
            ["Authorization", "Proxy-Authorization", "Cookie", "X-Auth", "X-AuthToken", "x_auth_user", "key", "X-Pass"];
        let other = ["X-Author", "X-Authority", "X-Keyboard", "keys", "X-App", "Cookies", ""];
        for (names, expected) in [(&secret[..], true), (&other[..], false)] {
            for name in names {
                assert_eq!(is_sensitive_name(name), expected, "{name}");
            }
        }
    }
}
