//! Values inside a file, because values are parsed only as a part of one.

use tunnel_balancer_config::{Errors, parse};
use tunnel_balancer_core::Service;

/// Parses a file with these settings of a service.
pub(crate) fn service(settings: &str) -> Result<Service, Errors> {
    let yaml = format!("services:\n  app.test:\n    servers: [a.example]\n    {settings}\n");
    let config = parse(&yaml)?;
    Ok(config.services.into_iter().next().expect("the only service"))
}

/// Returns `text` as a double-quoted YAML scalar.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            ' '..='~' => quoted.push(c),
            _ => quoted += &format!("\\U{:08x}", u32::from(c)),
        }
    }
    quoted + "\""
}
