//! The state of a service's servers at one moment, for `tunnel-balancer explain --state`.

use std::time::Duration;

use tunnel_balancer_core::{Failback, Health, ServerId, Service};

use crate::diagnostic::Code;
use crate::duration::{duration, format_duration};
use crate::primitives::{boolean, one_of};
use crate::reader::{Entry, Field, Setting};
use crate::report::Report;

/// The state of one server. A server that the file does not name is available.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerState {
    /// The server's name.
    pub name: String,
    /// Its health by probes. Default unknown.
    pub health: Health,
    /// The remaining time of its ejection. Zero: it is on probation. `None`: it is not ejected.
    pub ejected_for: Option<Duration>,
    /// Whether it is held back by `failback`. Default no.
    pub awaiting_failback: bool,
}

const KEYS: &[Setting<ServerState>] = &[
    Setting::plain("health", |state, field| {
        field.set(&mut state.health, |value| one_of(value, "health", HEALTH, WORDS))
    }),
    Setting::plain("ejected_for", |state, field| {
        field.set(&mut state.ejected_for, |value| duration(value, Duration::ZERO..=Duration::MAX).map(Some));
    }),
    Setting::plain("awaiting_failback", |state, field| field.set(&mut state.awaiting_failback, boolean)),
];

const EXPECTED: &str = "a map from servers to their state, as in `{ chat-a: { health: unhealthy } }`";
const EXPECTED_STATE: &str = "a map, as in `{ health: unhealthy }`";
const HEALTH: &str = "`healthy`, `unhealthy` or `unknown`";
const WORDS: &[(&str, Health)] =
    &[("healthy", Health::Healthy), ("unhealthy", Health::Unhealthy), ("unknown", Health::Unknown)];

/// Reads the states in a file. Errors are reported, those about settings of `service` included.
pub(crate) fn server_states(root: Field<'_>, service: &Service) -> Vec<ServerState> {
    let names: Vec<&str> = service.servers().iter().map(|server| server.name.as_str()).collect();
    let mut states = Vec::new();
    for Entry { name, key, value } in root.map(EXPECTED).map(|map| map.into_entries()).unwrap_or_default() {
        if !names.contains(&name) {
            key.report(Report::unknown(Code::UnknownKey, "server", name, &names));
            continue;
        }
        let mut state =
            ServerState { name: name.to_owned(), health: Health::Unknown, ejected_for: None, awaiting_failback: false };
        if let Some(map) = value.map(EXPECTED_STATE) {
            map.read_into(&mut state, KEYS);
            check(&state, value, service);
            states.push(state);
        }
    }
    states
}

/// Reports what the settings of the service rule out.
fn check(state: &ServerState, field: Field<'_>, service: &Service) {
    let longest = service.ejection.max_time.max(LONGEST_PAUSE);
    if let Some(ejected_for) = field.get("ejected_for").filter(|_| state.ejected_for > Some(longest)) {
        let report = Report::new(Code::OutOfRange, format!("an ejection lasts at most {}", format_duration(longest)));
        ejected_for.report(report.hint("write a shorter time, or raise `ejection.max_time` of the service"));
    }
    let server = service.servers().iter().position(|server| server.name == state.name).and_then(ServerId::new);
    let is_probed = server.and_then(|id| service.health_check_of(id)).is_some();
    if let Some(health) = field.get("health").filter(|_| !is_probed) {
        let report = Report::new(Code::Conflict, "the server has no health check");
        health.report(report.hint("remove `health`, or enable `health_check`"));
    }
    if state.awaiting_failback
        && service.failback == Failback::Auto
        && let Some(awaiting) = field.get("awaiting_failback")
    {
        let report = Report::new(Code::Conflict, "the service holds no server back");
        awaiting.report(report.hint("remove `awaiting_failback`, or set `failback` of the service"));
    }
}

/// The longest pause that a server can request by `Retry-After`.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{parse, parse_server_states};

    fn service(settings: &str) -> Service {
        let yaml = format!("services: {{ app.test: {{ servers: [a.test, b.test]{settings} }} }}");
        parse(&yaml).unwrap().services.remove(0)
    }

    #[test]
    fn states_are_read_by_server() {
        let yaml = "a: { health: unhealthy, ejected_for: 10s }\nb: { awaiting_failback: true }\n";
        let states = parse_server_states(yaml, &service(", failback: manual")).unwrap();
        let expected = [
            ServerState {
                name: "a".to_owned(),
                health: Health::Unhealthy,
                ejected_for: Some(Duration::from_secs(10)),
                awaiting_failback: false,
            },
            ServerState { name: "b".to_owned(), health: Health::Unknown, ejected_for: None, awaiting_failback: true },
        ];
        assert_eq!(states, expected);
    }

    #[test]
    fn errors_have_a_place_and_a_hint() {
        let table = [
            ("a: { helth: healthy }", "1:6: error[unknown-key]: unknown key `helth`"),
            ("a: { health: dead }", "1:14: error[invalid-value]: unknown health `dead`"),
            ("c: { health: healthy }", "1:1: error[unknown-key]: unknown server `c`"),
            ("a: { ejected_for: soon }", "1:19: error[invalid-value]: "),
            ("a: { ejected_for: 1h }", "1:19: error[out-of-range]: an ejection lasts at most "),
            ("a: { awaiting_failback: 1 }", "1:25: error[wrong-type]: "),
            ("a: { awaiting_failback: true }", "1:25: error[conflict]: the service holds no server back"),
            ("a: unhealthy", "1:4: error[wrong-type]: expected a map, as in `{ health: unhealthy }`"),
            ("[a]", "1:1: error[wrong-type]: expected a map from servers to their state"),
        ];
        for (yaml, expected) in table {
            let errors = parse_server_states(yaml, &service("")).unwrap_err();
            assert!(errors.to_string().starts_with(expected), "{yaml}: {errors}");
        }
        let hint = "\n  hint: remove `health`, or enable `health_check`";
        let errors = parse_server_states("a: { health: healthy }", &service(", health_check: false")).unwrap_err();
        assert!(errors.to_string().contains(hint), "{errors}");
    }
}
