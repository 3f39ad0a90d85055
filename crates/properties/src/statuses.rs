//! Ranges of statuses in a file.

use http::StatusCode;
use tunnel_balancer_core::StatusRanges;

use crate::yaml_value::{quoted, service};

pub(crate) const SEEDS: &[&str] = &[
    "200",
    "200-299",
    "200 - 299",
    "301-308",
    "299-200",
    "2xx",
    "99",
    "100-599",
    "600",
    "-",
    "200-",
    "-200",
    "200-299-300",
    "+200",
    "0200",
];

/// Checks that a range contains exactly the statuses between its ends, and that its text form
/// parses to the same value.
pub fn statuses(text: &str) {
    let expect = |list: &str| {
        let service = service(&format!("health_check: {{ expect_status: {list} }}"))?;
        Ok::<StatusRanges, tunnel_balancer_config::Errors>(service.health_check.expect("it is set").expect_status)
    };
    let Ok(read) = expect(&quoted(text)) else { return };
    let [(first, last)] = read.0[..] else { panic!("{text:?} is {read:?}") };
    assert!((100..=599).contains(&first) && first <= last && last <= 599, "{text:?} is {read:?}");
    let is_covered = |code: u16| read.contains(StatusCode::from_u16(code).expect("a status"));
    assert!((100..1000).all(|code| is_covered(code) == (first..=last).contains(&code)), "{text:?} is {read:?}");
    for value in [format!("{first}-{last}"), format!("[{first}-{last}]")] {
        assert_eq!(expect(&value).as_ref(), Ok(&read), "{text:?}");
    }
}
