//! What must hold for any text that a client, a server or an operator can write.
//!
//! Each property is one function that panics where it does not hold. `tests/properties` calls it
//! with texts made up on purpose, on every run; `fuzz` with whatever a fuzzer finds, for as long as
//! one likes. The seeds are the cases of the unit tests: where both start from.

mod accept;
mod cookies;
mod durations;
mod headers;
mod host;
mod responses;
mod route;
mod served;
mod sizes;
mod statuses;
mod target;
mod written;
mod yaml;

pub use accept::accept;
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

/// A property, and texts to start from.
#[derive(Clone, Copy, Debug)]
pub struct Property {
    /// Its name: that of the function and of the fuzz target.
    pub name: &'static str,
    /// Panics where it does not hold.
    pub check: fn(&str),
    /// Texts that are about it.
    pub seeds: &'static [&'static str],
}

/// All properties.
pub const ALL: [Property; 11] = [
    Property { name: "yaml", check: yaml, seeds: yaml::SEEDS },
    Property { name: "host", check: host, seeds: host::SEEDS },
    Property { name: "route", check: route, seeds: route::SEEDS },
    Property { name: "target", check: target, seeds: target::SEEDS },
    Property { name: "cookies", check: cookies, seeds: cookies::SEEDS },
    Property { name: "headers", check: headers, seeds: headers::SEEDS },
    Property { name: "responses", check: responses, seeds: responses::SEEDS },
    Property { name: "accept", check: accept, seeds: accept::SEEDS },
    Property { name: "statuses", check: statuses, seeds: statuses::SEEDS },
    Property { name: "durations", check: durations, seeds: durations::SEEDS },
    Property { name: "sizes", check: sizes, seeds: sizes::SEEDS },
];
