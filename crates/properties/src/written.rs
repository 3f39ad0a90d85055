//! Values on their way through a file, since only the reader of files knows how they are written.

use tunnel_balancer_config::{Errors, parse};
use tunnel_balancer_core::Service;

/// The service that a file with these settings describes.
pub(crate) fn service(settings: &str) -> Result<Service, Errors> {
    let yaml = format!("services:\n  app.test:\n    servers: [a.example]\n    {settings}\n");
    let config = parse(&yaml)?;
    Ok(config.services.into_iter().next().expect("the only service"))
}

/// A text in quotes, with nothing left in it that YAML would take for anything else.
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
