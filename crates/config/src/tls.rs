//! `tls`: how the certificate of a server is verified.

use tunnel_balancer_core::ServerTls;

use crate::diagnostic::Code;
use crate::host::host_name;
use crate::node::Value;
use crate::primitives::{boolean, or_disabled, string};
use crate::reader::{Field, Setting};
use crate::report::Report;
use crate::value_schema::{StringSchema, ValueSchema};

pub(crate) const KEYS: &[Setting<ServerTls>] = &[
    Setting::new(
        "ca",
        "false",
        "The file (PEM) with the certificates that are trusted: authorities, or the server's own. A relative path \
         starts at the directory of this file. `false`: the roots of the machine.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::String(FILE)]),
        |tls, field| field.set(&mut tls.ca, |value| or_disabled(value, file)),
    ),
    Setting::new(
        "server_name",
        "false",
        "The name that the certificate is for, which is also sent to the server (SNI). `false`: the host of the URL.",
        ValueSchema::OneOf(&[ValueSchema::Disabled, ValueSchema::String(NAME)]),
        |tls, field| field.set(&mut tls.server_name, |value| or_disabled(value, server_name)),
    ),
    Setting::new(
        "insecure_skip_verify",
        "false",
        "Whether any certificate is accepted. Anyone between this machine and the server can then read and change \
         requests. `ca` with the server's own certificate is safe.",
        ValueSchema::Boolean,
        |tls, field| field.set(&mut tls.insecure_skip_verify, boolean),
    ),
];

pub(crate) const SCHEMA: ValueSchema = ValueSchema::Map(|| Setting::docs(KEYS));

const FILE: StringSchema = StringSchema { what: "a file", pattern: r"[\s\S]", longest: None };
const NAME: StringSchema =
    StringSchema { what: "a hostname", pattern: r"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)$", longest: None };

/// Reads the map of a server.
pub(crate) fn server_tls(tls: &mut ServerTls, field: Field<'_>) {
    let Some(map) = field.map("a map such as `{ ca: ca.pem }`") else { return };
    let both = map.present(&["insecure_skip_verify", "ca"]);
    map.read_into(tls, KEYS);
    if *tls != ServerTls::default() {
        field.deny_on_worker("tls", "remove it: the server of a Worker needs a certificate that browsers accept");
    }
    if let Some(conflict) = tls.conflict() {
        let report = Report::new(Code::Conflict, conflict.to_string());
        both.report(report.hint("remove `insecure_skip_verify`: the certificates of `ca` are enough"));
    }
}

fn file(value: &Value<'_>) -> Result<String, Report> {
    let path = string(value, "the path of a PEM file, or `false`")?;
    if path.contains("-----BEGIN") {
        let report = Report::new(Code::InvalidValue, "expected the path of a PEM file, found a certificate");
        return Err(report.hint("write the certificate to a file"));
    }
    if path.trim().is_empty() || path.contains(char::is_control) {
        let report = Report::new(Code::InvalidValue, "expected the path of a PEM file");
        return Err(report.hint("write a path such as `/etc/ssl/home-ca.pem`"));
    }
    Ok(path.to_owned())
}

/// Reads a hostname or an IP address without a port.
fn server_name(value: &Value<'_>) -> Result<String, Report> {
    let name = host_name(value)?;
    match name.rsplit_once(':') {
        Some(_) if !name.ends_with(']') => Err(Report::new(Code::InvalidHost, "expected a hostname without a port")
            .hint("remove the port: certificates have none")),
        _ => Ok(name),
    }
}
