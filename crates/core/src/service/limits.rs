//! The ranges of settings, for readers of configurations and for [`Service::check`].
//!
//! [`Service::check`]: crate::Service::check

use std::ops::RangeInclusive;
use std::time::Duration;

/// [`Server::weight`](crate::Server::weight).
pub const WEIGHT: RangeInclusive<u32> = 0..=1000;
/// [`Server::max_requests`](crate::Server::max_requests).
pub const MAX_REQUESTS: RangeInclusive<u32> = 1..=100_000;
/// The length of [`Server::name`](crate::Server::name). Longer names would make log lines
/// unreadable.
pub const SERVER_NAME: RangeInclusive<usize> = 1..=64;

/// The durations that no other range limits. More than a day is likely a typing error.
pub const DURATION: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(24 * 3600);

/// [`RetrySettings::attempts`](crate::RetrySettings::attempts).
pub const ATTEMPTS: RangeInclusive<u32> = 1..=10;
/// [`RetrySettings::timeout`](crate::RetrySettings::timeout).
pub const TIMEOUT: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(3600);
/// [`RetrySettings::hold`](crate::RetrySettings::hold). No request takes longer than the longest
/// timeout.
pub const HOLD: RangeInclusive<Duration> = Duration::from_millis(1)..=*TIMEOUT.end();
/// [`RetrySettings::liveness_check_after`](crate::RetrySettings::liveness_check_after). Shorter
/// values would cause probes for ordinary responses.
pub const LIVENESS_CHECK_AFTER: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// [`RetrySettings::statuses`](crate::RetrySettings::statuses). Lower statuses are successes, which
/// must not be repeated, and interim responses.
pub const RETRIED_STATUS: RangeInclusive<u16> = 300..=*STATUS.end();
/// [`RetrySettings::max_buffered_body`](crate::RetrySettings::max_buffered_body). Buffered bodies
/// share 8 MiB of an isolate, and a larger one would leave no room for others.
pub const MAX_BUFFERED_BODY: RangeInclusive<u64> = 0..=1 << 20;
/// [`BudgetSettings::percent`](crate::BudgetSettings::percent).
pub const BUDGET_PERCENT: RangeInclusive<u32> = 0..=100;
/// [`BudgetSettings::min_per_second`](crate::BudgetSettings::min_per_second).
pub const BUDGET_MIN_PER_SECOND: RangeInclusive<u32> = 0..=1000;

/// [`EjectionSettings::consecutive_failures`](crate::EjectionSettings::consecutive_failures).
pub const CONSECUTIVE_FAILURES: RangeInclusive<u32> = 1..=100;
/// [`EjectionSettings::window_failures`](crate::EjectionSettings::window_failures). The window has
/// 20 responses.
pub const WINDOW_FAILURES: RangeInclusive<u32> = 1..=20;
/// [`EjectionSettings::max_percent`](crate::EjectionSettings::max_percent).
pub const MAX_EJECTED_PERCENT: RangeInclusive<u32> = 1..=100;

/// [`HealthCheck::rise`](crate::HealthCheck::rise) and
/// [`HealthCheck::fall`](crate::HealthCheck::fall).
pub const THRESHOLD: RangeInclusive<u32> = 1..=100;
/// [`HealthCheck::port`](crate::HealthCheck::port).
pub const PORT: RangeInclusive<u16> = 1..=u16::MAX;
/// The statuses of HTTP.
pub const STATUS: RangeInclusive<u16> = 100..=599;

/// [`Affinity::ttl`](crate::Affinity::ttl). `Max-Age` has whole seconds. Longer sessions are
/// unusual.
pub const AFFINITY_TTL: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(7 * 24 * 3600);
/// The smallest number of bytes of [`Affinity::key`](crate::Affinity::key): that of the tokens that
/// it signs.
pub const MIN_AFFINITY_KEY: usize = 16;
