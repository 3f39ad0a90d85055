//! The outage that is played when no scenario is named: the one that everybody has, whose names are
//! those of the file.

use tunnel_balancer_config::scenario::Scenario;
use tunnel_balancer_config::{normal_address, parse_scenario, yaml_text};
use tunnel_balancer_core::Service;

/// The tunnel of the first server of a service goes down and comes back.
pub(super) fn of(services: &[Service], wanted: Option<&str>) -> Result<Scenario, String> {
    let service = match wanted {
        Some(wanted) => {
            services.iter().find(|service| Some(service.name()) == normal_address(wanted)).ok_or_else(|| {
                let names = services.iter().map(Service::name).collect::<Vec<_>>();
                format!("error: there is no service {wanted}, but: {}", names.join(", "))
            })?
        }
        None => interesting(services).ok_or("error: there is no service")?,
    };
    // With nobody enabled there is nobody to take down; such a service is no valid one.
    let server = enabled(service).next().ok_or("error: there is no server")?;
    parse_scenario(&text(&service.name(), server), Some(services)).map_err(|errors| errors.to_string())
}

/// As in examples/scenarios/primary-530.yaml.
fn text(service: &str, server: &str) -> String {
    let (title, service) = (yaml_text(&format!("The tunnel of {server} is down for two minutes")), yaml_text(service));
    let server = yaml_text(server);
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

/// One where somebody can take over.
fn interesting(services: &[Service]) -> Option<&Service> {
    services.iter().find(|service| enabled(service).count() > 1).or_else(|| services.first())
}

fn enabled(service: &Service) -> impl Iterator<Item = &str> {
    service.servers().iter().filter(|server| server.enabled).map(|server| server.name.as_str())
}
