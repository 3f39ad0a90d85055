//! Properties of any string that a client, a server or an operator can write.
//!
//! A property is a function that panics if it is violated. `tests/properties` calls it with random
//! strings on every run, and `fuzz` with the inputs of a fuzzer. Both start from the seeds, which
//! are the cases of the unit tests.

mod accept;
mod address;
mod cookies;
mod durations;
mod headers;
mod host;
mod responses;
mod route;
mod serve;
mod sizes;
mod statuses;
mod target;
mod yaml;
mod yaml_value;

pub use accept::accept;
pub use address::address;
pub use cookies::cookies;
pub use durations::durations;
pub use headers::headers;
pub use host::host;
pub use responses::responses;
pub use route::route;
pub use sizes::sizes;
pub use statuses::statuses;
pub use target::target;
pub use yaml::{diagnostics, yaml};

/// A property and its seeds.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// The name of the function and of the fuzz target.
    pub name: &'static str,
    /// Panics if the property is violated.
    pub check: fn(&str),
    /// Strings to start from.
    pub seeds: &'static [&'static str],
}

/// All properties.
pub const ALL: [Property; 12] = [
    Property { name: "yaml", check: yaml, seeds: yaml::SEEDS },
    Property { name: "host", check: host, seeds: host::SEEDS },
    Property { name: "route", check: route, seeds: route::SEEDS },
    Property { name: "address", check: address, seeds: address::SEEDS },
    Property { name: "target", check: target, seeds: target::SEEDS },
    Property { name: "cookies", check: cookies, seeds: cookies::SEEDS },
    Property { name: "headers", check: headers, seeds: headers::SEEDS },
    Property { name: "responses", check: responses, seeds: responses::SEEDS },
    Property { name: "accept", check: accept, seeds: accept::SEEDS },
    Property { name: "statuses", check: statuses, seeds: statuses::SEEDS },
    Property { name: "durations", check: durations, seeds: durations::SEEDS },
    Property { name: "sizes", check: sizes, seeds: sizes::SEEDS },
];
