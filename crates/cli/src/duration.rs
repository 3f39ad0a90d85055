//! Durations as they are written on a command line.

use std::ops::RangeInclusive;
use std::time::Duration;

use tunnel_balancer_config::parse_duration;

/// Reads a duration within a range.
///
/// # Errors
/// `expected`, if it is another string.
pub(crate) fn within(text: &str, range: RangeInclusive<Duration>, expected: &str) -> Result<Duration, String> {
    parse_duration(text).filter(|duration| range.contains(duration)).ok_or_else(|| expected.to_owned())
}
