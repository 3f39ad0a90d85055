//! Durations in a file.

use std::time::Duration;

use tunnel_balancer_core::Service;

use crate::yaml_value::{quoted, service};

pub(crate) const SEEDS: &[&str] = &[
    "500ms",
    "30s",
    "5m",
    "1h30m",
    "1h1m1s1ms",
    "0s",
    "24h",
    "24h1ms",
    "99999999999999999999h",
    "",
    "30",
    "s",
    "s30",
    "30 s",
    "30S",
    "1.5s",
    "-1s",
    "1s1s",
    "30m1h",
    "30sec",
    "\u{663}s",
];

/// Checks that a valid duration is at most a day, and that its milliseconds parse to the same
/// value.
pub fn durations(text: &str) {
    let Ok(service) = slow_start(text) else { return };
    let read = service.slow_start.expect("it is set");
    assert!((Duration::from_millis(1)..=Duration::from_secs(24 * 3600)).contains(&read), "{text:?} is {read:?}");
    for value in [format!("{}ms", read.as_millis()), text.to_owned()] {
        let again = slow_start(&value).unwrap_or_else(|errors| panic!("{value:?}: {errors}"));
        assert_eq!(again.slow_start, Some(read), "{text:?}");
    }
}

fn slow_start(text: &str) -> Result<Service, tunnel_balancer_config::Errors> {
    service(&format!("policy: round_robin\n    slow_start: {}", quoted(text)))
}
