//! The scenario that is simulated by default: an outage of a service's first server.

use tunnel_balancer_config::scenario::Scenario;
use tunnel_balancer_config::{normalize_address, parse_scenario, yaml_scalar};
use tunnel_balancer_core::Service;

/// Returns a scenario in which the tunnel of the first server of a service is down for two minutes.
pub(super) fn scenario(services: &[Service], wanted: Option<&str>) -> Result<Scenario, String> {
    let service = match wanted {
        Some(wanted) => {
            services.iter().find(|service| Some(service.name()) == normalize_address(wanted)).ok_or_else(|| {
                let names = services.iter().map(Service::name).collect::<Vec<_>>();
                format!("error: unknown service `{wanted}`\n  hint: expected one of {}", names.join(", "))
            })?
        }
        None => default_service(services).ok_or("error: the map has no service")?,
    };
    // A service without an enabled server is invalid.
    let server = enabled(service).next().ok_or("error: the service has no enabled server")?;
    parse_scenario(&yaml(&service.name(), server), Some(services)).map_err(|errors| errors.to_string())
}

/// Returns a scenario like examples/scenarios/primary-530.yaml.
fn yaml(service: &str, server: &str) -> String {
    let (title, service) =
        (yaml_scalar(&format!("The tunnel of {server} is down for two minutes")), yaml_scalar(service));
    let server = yaml_scalar(server);
    format!(
        "title: {title}
service: {service}
duration: 5m
isolates: 10
requests: {{ GET: 9, POST: 1 }}
timeline:
  1m5s: {{ {server}: 530 }}
  3m5s: {{ {server}: up }}
"
    )
}

/// Returns the first service with a failover, or else the first one.
fn default_service(services: &[Service]) -> Option<&Service> {
    services.iter().find(|service| enabled(service).count() > 1).or_else(|| services.first())
}

fn enabled(service: &Service) -> impl Iterator<Item = &str> {
    service.servers().iter().filter(|server| server.enabled).map(|server| server.name.as_str())
}
