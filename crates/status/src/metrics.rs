//! The metrics, for Prometheus and compatible programs.
//!
//! The names are documented in `docs/status.md`. A state is a label of a gauge with the value 1.

use std::time::Duration;

use tunnel_balancer_core::{Counters, LatencyCounts, RequestCounters, Server, ServerStatus};

use crate::exposition::{Exposition, Kind};
use crate::http::StatusResponse;
use crate::observation::{Observation, ServiceObservation};

/// The counters of a service: name, description and value.
type RequestCounter = (&'static str, &'static str, fn(&RequestCounters) -> u64);

/// The counters of a server.
type ServerCounter = (&'static str, &'static str, fn(&Counters) -> u64);

const REQUESTS: &[RequestCounter] = &[
    ("requests", "Requests of clients.", |it| it.total),
    ("failed_requests", "Requests that ended with an error of the balancer or of a gateway.", |it| it.failed),
    ("canceled_requests", "Requests whose client disconnected before the response.", |it| it.canceled),
    ("retries", "Attempts after the first one of their request.", |it| it.retries),
    ("hedges", "Attempts that ran beside another one of the same request.", |it| it.hedges),
    ("held_requests", "Requests that waited for a server to return.", |it| it.held),
];

const SERVERS: &[ServerCounter] = &[
    ("server_attempts", "Attempts that ended.", |it| it.attempts),
    ("server_failed_attempts", "Attempts that failed.", |it| it.failed_attempts),
    ("server_canceled_attempts", "Attempts that were canceled.", |it| it.canceled_attempts),
    ("server_hedges", "Attempts that ran beside another one of the same request.", |it| it.hedges),
    ("server_aborted_responses", "Responses that were aborted after their headers.", |it| it.aborted_responses),
    ("server_probes", "Probes that ended.", |it| it.probes),
    ("server_failed_probes", "Probes that failed.", |it| it.failed_probes),
    ("server_ejections", "Ejections for failures in traffic.", |it| it.ejections),
    ("server_stalls", "Times in which neither requests nor probes got a response.", |it| it.stalls),
];

/// Returns the metrics in one of the two formats.
pub(crate) fn response(seen: &Observation<'_>, open_metrics: bool) -> StatusResponse {
    let mut text = Exposition::new(open_metrics);
    balancer(&mut text, seen);
    services(&mut text, &seen.services);
    servers(&mut text, &seen.services);
    StatusResponse::new(200, text.content_type(), text.finish())
}

fn balancer(text: &mut Exposition, seen: &Observation<'_>) {
    let balancer = &seen.balancer;
    text.family("build", Kind::Info, "The program that responds.");
    text.number("_info", &[("version", balancer.version), ("host", balancer.host.as_str())], 1);
    text.family("start_time_seconds", Kind::Gauge, "When the process started, since 1970.");
    text.seconds("", &[], Duration::from_millis(balancer.started));
    text.family("config_rejected", Kind::Gauge, "Whether a newer configuration was rejected.");
    text.number("", &[], balancer.config_rejected.into());
    if let Some(age) = seen.sharing.age_ms {
        text.family("sharing_age_seconds", Kind::Gauge, "The age of what other processes know.");
        text.seconds("", &[("mode", seen.sharing.mode)], Duration::from_millis(age));
    }
}

fn services(text: &mut Exposition, services: &[ServiceObservation<'_>]) {
    let names: Vec<String> = services.iter().map(|it| it.service.name()).collect();
    let all = || services.iter().zip(&names);
    text.family("service_state", Kind::Gauge, "The state of the service: up, degraded, down or maintenance.");
    for (it, name) in all() {
        text.number("", &[("service", name), ("state", it.status.state.as_str())], 1);
    }
    text.family("requests_in_flight", Kind::Gauge, "Requests without a response.");
    all().for_each(|(it, name)| text.number("", &[("service", name)], it.status.in_flight.into()));
    for (metric, help, value) in REQUESTS {
        text.family(metric, Kind::Counter, help);
        all().for_each(|(it, name)| text.number("_total", &[("service", name)], value(&it.status.requests)));
    }
}

fn servers(text: &mut Exposition, services: &[ServiceObservation<'_>]) {
    let mut all: Vec<(String, &Server, &ServerStatus)> = Vec::new();
    for it in services {
        let servers = it.service.servers().iter().zip(&it.status.servers);
        all.extend(servers.map(|(server, status)| (it.service.name(), server, status)));
    }
    let mut gauge = |name, help, value: &dyn Fn(&Server, &ServerStatus) -> Option<u64>| {
        text.family(name, Kind::Gauge, help);
        for (service, server, status) in &all {
            if let Some(value) = value(server, status) {
                text.number("", &labels(service, server), value);
            }
        }
    };
    gauge("server_available", "Whether the server is available.", &|_, it| Some((!it.is_unavailable()).into()));
    gauge("server_enabled", "Whether the server is enabled.", &|server, _| Some(server.enabled.into()));
    gauge("server_weight", "The share of the traffic.", &|server, _| Some(server.weight.into()));
    gauge("server_requests_in_flight", "Requests in flight.", &|_, it| Some(it.in_flight.into()));
    gauge("server_last_probe_passed", "Whether the last probe passed.", &|_, it| {
        it.last_probe.as_ref().map(|probe| probe.passed.into())
    });
    text.family("server_state", Kind::Gauge, "The state of the server, such as healthy, unhealthy or ejected.");
    for (service, server, status) in &all {
        text.number("", &[("service", service), ("server", &server.name), ("state", status.state())], 1);
    }
    text.family("server_last_probe_timestamp_seconds", Kind::Gauge, "When the last probe ended, since 1970.");
    for (service, server, status) in &all {
        if let Some(probe) = &status.last_probe {
            text.seconds("", &labels(service, server), Duration::from_millis(probe.at.as_millis()));
        }
    }
    text.family("server_last_probe_duration_seconds", Kind::Gauge, "How long the last probe took.");
    for (service, server, status) in &all {
        if let Some(duration) = status.last_probe.as_ref().and_then(|probe| probe.duration) {
            text.seconds("", &labels(service, server), duration);
        }
    }
    for (metric, help, value) in SERVERS {
        text.family(metric, Kind::Counter, help);
        for (service, server, status) in &all {
            text.number("_total", &labels(service, server), value(&status.counters));
        }
    }
    let help = "The time from the start of an attempt to the headers of a response that is no failure.";
    text.family("server_response_seconds", Kind::Histogram, help);
    for (service, server, status) in &all {
        histogram(text, &labels(service, server), &status.latencies);
    }
}

fn labels<'l>(service: &'l str, server: &'l Server) -> [(&'static str, &'l str); 2] {
    [("service", service), ("server", &server.name)]
}

/// Returns a duration in seconds, without zeros at the end.
fn seconds(duration: Duration) -> String {
    let text = format!("{}.{:03}", duration.as_secs(), duration.subsec_millis());
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn histogram(text: &mut Exposition, labels: &[(&'static str, &str); 2], counts: &LatencyCounts) {
    let [service, server] = *labels;
    let mut below = 0;
    for (count, bound) in counts.buckets.iter().zip(LatencyCounts::bounds()) {
        below += count;
        text.number("_bucket", &[service, server, ("le", &seconds(bound))], below);
    }
    text.number("_bucket", &[service, server, ("le", "+Inf")], counts.count());
    text.seconds("_sum", labels, counts.sum);
    text.number("_count", labels, counts.count());
}
