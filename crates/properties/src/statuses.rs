//! Ranges of statuses in a file.

use http::StatusCode;
use tunnel_balancer_core::StatusRanges;

use crate::written::{quoted, service};

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

/// What is read covers the statuses between two ends, neither more nor less, and is read again as
/// the same.
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
    for written in [format!("{first}-{last}"), format!("[{first}-{last}]")] {
        assert_eq!(expect(&written).as_ref(), Ok(&read), "{text:?}");
    }
}
