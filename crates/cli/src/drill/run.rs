//! `--run`: the drills of all services.

use std::path::Path;
use std::process::ExitCode;

use http::header::HOST;
use tunnel_balancer_core::DrillKind;
use tunnel_balancer_core::headers::DRILL_HEADER;
use tunnel_balancer_state::control::Token;

use super::report::{Row, report};
use super::{Drill, applied};
use crate::api::{Api, STATUS, Target};
use crate::client_request::{ClientRequest, ServiceRequest, parse_url, service_request};
use crate::table::{list, string};
use crate::{map_file, output, progress};

impl Drill {
    /// Drills every server in turn. Prints one table, and before that its progress to stderr.
    ///
    /// # Errors
    /// If the list of servers cannot be read.
    pub(super) fn run_all(&self, source: &str, token: &Token) -> Result<ExitCode, String> {
        let targets = if source.contains("://") {
            targets_of_balancer(source, self.token.path())?
        } else {
            targets_of_map(Path::new(source))?
        };
        let to = self.to.as_deref().map(parse_url).transpose()?;
        let kind = self.kind.get().unwrap_or(DrillKind::Down);
        let (all, mut rows) = (targets.len(), Vec::new());
        for ServerName { service, server } in targets {
            progress::show(&format!("drill {} of {all}: {server} of {service}", rows.len() + 1));
            let order = self.order(token, &service, &server, kind)?;
            let sent = self.request_to(&service, to.as_deref());
            let response = sent.and_then(|(request, url)| request.send(&url, DRILL_HEADER, &order));
            let traced = response.and_then(|response| applied(&response, &service, &server));
            rows.push(Row { service, server, kind, traced });
        }
        progress::end();
        let printed = output::print_escaped(&report(&rows, self.json));
        Ok(if rows.iter().all(Row::has_passed) { printed } else { ExitCode::FAILURE })
    }

    /// Returns the request to a service, and its URL.
    fn request_to(&self, service: &str, to: Option<&str>) -> Result<(ClientRequest, String), String> {
        let ServiceRequest { url, host } = service_request(service, "drill", &self.path, to)?;
        let mut request = self.request.clone();
        request.headers.extend(host.map(|host| (HOST, host)));
        Ok((request, url))
    }
}

/// A server of a service.
struct ServerName {
    service: String,
    server: String,
}

/// Returns the servers of a running balancer, by the URL of its status.
fn targets_of_balancer(url: &str, token_file: Option<&Path>) -> Result<Vec<ServerName>, String> {
    let target = Target::parse(url, &STATUS).map_err(|error| format!("error: invalid URL: {error}"))?;
    let report = Api::new(&STATUS, target, token_file)?.get("", &[])?;
    let services = list(&report, "services").iter().filter(|service| service["maintenance"] != true);
    let targets = services.flat_map(|service| {
        let servers = list(service, "servers").iter().filter(|server| server["enabled"] != false);
        servers.map(|server| ServerName { service: string(service, "service"), server: string(server, "server") })
    });
    Ok(targets.collect())
}

/// Returns the servers of a map that get traffic.
fn targets_of_map(path: &Path) -> Result<Vec<ServerName>, String> {
    let config = map_file::load(path)?;
    let services = config.services.iter().filter(|service| !service.maintenance);
    let targets = services.flat_map(|service| {
        let servers = service.servers().iter().filter(|server| server.enabled);
        servers.map(|server| ServerName { service: service.name(), server: server.name.clone() })
    });
    Ok(targets.collect())
}
